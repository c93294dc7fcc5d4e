package kandinsky

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const (
	errorDomain  = "imagegen.v1"
	requestIDKey = "x-request-id"
)

// Error is how a call failed.
type Error struct {
	// Code is the gRPC status code.
	Code codes.Code
	// Reason is the name of an imagegen.v1.ErrorReason without its prefix, for
	// example "QUEUE_FULL". Empty where the error is not the server's own.
	Reason string
	// Message says what was wrong, what is allowed and what to do.
	Message string
	// Violations are the fields that are wrong.
	Violations []FieldViolation
	// RetryAfter is when the server thinks that the same call could succeed.
	// Nil where it did not say.
	RetryAfter *time.Duration
	// RequestID is the server's name for the request. Empty where it was never
	// told.
	RequestID string
	// Metadata is what goes with the reason: see ErrorReason in the contract.
	Metadata map[string]string

	status *status.Status
}

// FieldViolation is a field of the request that is not accepted.
type FieldViolation struct {
	// Field is its path as the public contract spells it: params.width.
	Field string
	// Description says what is wrong and what is allowed.
	Description string
}

// Error returns the message and the status code.
func (e *Error) Error() string {
	return fmt.Sprintf("kandinsky: %s (%s)", e.Message, e.Code)
}

// Is makes the errors of ended contexts what they are everywhere else.
func (e *Error) Is(target error) bool {
	switch target {
	case context.DeadlineExceeded:
		return e.Code == codes.DeadlineExceeded
	case context.Canceled:
		return e.Code == codes.Canceled && e.Reason == "" // else somebody called Cancel
	default:
		return false
	}
}

// GRPCStatus lets status.FromError and status.Code of grpc-go see the status.
func (e *Error) GRPCStatus() *status.Status {
	if e.status != nil {
		return e.status
	}
	return status.New(e.Code, e.Message)
}

// errorOf reads a failed call, by its status code and google.rpc details,
// never by what its text says.
func errorOf(err error, header metadata.MD) *Error {
	told := status.Convert(err)
	failed := &Error{Code: told.Code(), Message: told.Message(), status: told}
	for _, detail := range told.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			if detail.GetDomain() == errorDomain {
				failed.Reason, failed.Metadata = detail.GetReason(), detail.GetMetadata()
				failed.RequestID = failed.Metadata["request_id"]
			}
		case *errdetails.RetryInfo:
			failed.RetryAfter = new(detail.GetRetryDelay().AsDuration())
		case *errdetails.BadRequest:
			for _, violation := range detail.GetFieldViolations() {
				failed.Violations = append(failed.Violations, FieldViolation{violation.GetField(), violation.GetDescription()})
			}
		}
	}
	if ids := header.Get(requestIDKey); len(ids) > 0 {
		failed.RequestID = ids[0]
	}
	if wasReset(failed) {
		failed.Code, failed.Message, failed.status = codes.Unavailable, "the server closed before it took the call", nil
	}
	return failed
}

// wasReset tells whether a server that was closing dropped the call before any
// of its code saw it: gRPC then says CANCELLED and no more. A Cancel gives a
// reason, and grpc-go says what this process told it to do.
func wasReset(failed *Error) bool {
	return failed.Code == codes.Canceled && failed.Reason == "" && (failed.Message == "" || failed.Message == "CANCELLED")
}

// invalid is the error of a field that this client can already tell is wrong,
// in the server's own form.
func invalid(field, format string, arguments ...any) *Error {
	violation := FieldViolation{field, fmt.Sprintf(format, arguments...)}
	return &Error{
		Code:       codes.InvalidArgument,
		Reason:     "INVALID_FIELD",
		Message:    violation.Field + ": " + violation.Description,
		Violations: []FieldViolation{violation},
	}
}
