package kandinsky

import (
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// buf's style makes the names mechanical: every value has the enum's name as
// its prefix, and the first one is UNSPECIFIED.

// enumNumber is the value that this package calls name; the zero value for "".
func enumNumber[E interface {
	~int32
	protoreflect.Enum
}](to *converter, field, name string) E {
	var zero E
	if name == "" {
		return zero
	}
	values := zero.Descriptor().Values()
	var known []string
	for i := 1; i < values.Len(); i++ {
		own := ownName(values, values.Get(i))
		if own == name {
			return E(values.Get(i).Number())
		}
		known = append(known, own)
	}
	if to.failed == nil {
		to.failed = invalid(field, "must be one of %s; given '%s'", strings.Join(known, ", "), name)
	}
	return zero
}

// enumName is what this package calls a value: "" for the unspecified one, and
// the number for one that a newer server has.
func enumName(value protoreflect.Enum) string {
	values := value.Descriptor().Values()
	known := values.ByNumber(value.Number())
	if value.Number() == 0 {
		return ""
	}
	if known == nil {
		return strconv.Itoa(int(value.Number()))
	}
	return ownName(values, known)
}

func ownName(values protoreflect.EnumValueDescriptors, value protoreflect.EnumValueDescriptor) string {
	prefix := strings.TrimSuffix(string(values.ByNumber(0).Name()), "UNSPECIFIED")
	return strings.ToLower(strings.TrimPrefix(string(value.Name()), prefix))
}
