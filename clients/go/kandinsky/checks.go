package kandinsky

import (
	"bytes"
	"cmp"
	"math"
	"strconv"
	"strings"

	imagegenv1 "github.com/kandinsky-serving/kandinsky-serving/clients/go/gen/imagegen/v1"
)

// What can be known to be wrong without a model, in the server's words. The
// conformance cases hold this file, its twin in Python and the server together.

const maxRequestIDBytes = 128

func checkImg2Img(message *imagegenv1.Img2ImgRequest) *Error {
	params, prior := message.GetParams(), cmp.Or(message.GetPrior(), &imagegenv1.PriorParams{})
	return cmp.Or(
		checkRequestID(message.GetRequestId()),
		checkOneSource(message),
		checkImage("image", message.GetImage()),
		checkGuidance("params.guidance_scale", params.GuidanceScale),
		checkStrength(params),
		checkSeed("params.seed", params.Seed, params.NumImages),
		checkGuidance("prior.guidance_scale", prior.GuidanceScale),
		checkTensor("embeddings.image_embeds", message.GetEmbeddings().GetImageEmbeds()),
		checkTensor("embeddings.negative_image_embeds", message.GetEmbeddings().GetNegativeImageEmbeds()),
	)
}

func checkEncodePrompt(message *imagegenv1.EncodePromptRequest) *Error {
	return cmp.Or(
		checkRequestID(message.GetRequestId()),
		checkGuidance("params.guidance_scale", message.GetParams().GuidanceScale),
		checkSeed("params.seed", message.GetParams().Seed, message.NumEmbeddings),
	)
}

func checkInterpolate(message *imagegenv1.InterpolateRequest) *Error {
	return cmp.Or(
		checkRequestID(message.GetRequestId()),
		checkGuidance("params.guidance_scale", message.GetParams().GuidanceScale),
		checkItems(message.GetItems()),
	)
}

func checkRequestID(id string) *Error {
	isPrintable := func(r rune) bool { return '!' <= r && r <= '~' }
	if len(id) > maxRequestIDBytes || strings.ContainsFunc(id, func(r rune) bool { return !isPrintable(r) }) {
		return invalid("request_id", "must be 1 to %d printable ASCII characters without spaces", maxRequestIDBytes)
	}
	return nil
}

func checkOneSource(message *imagegenv1.Img2ImgRequest) *Error {
	if message.Embeddings != nil && message.Prior != nil {
		return invalid("prior", "must not be set together with embeddings, which need no prior")
	}
	return nil
}

func checkImage(field string, file []byte) *Error {
	if len(file) == 0 {
		return invalid(field, "must be a PNG, JPEG or WebP file, but is empty")
	}
	isWebP := len(file) >= 12 && bytes.HasPrefix(file, []byte("RIFF")) && bytes.Equal(file[8:12], []byte("WEBP"))
	if !isWebP && !bytes.HasPrefix(file, []byte("\x89PNG\r\n\x1a\n")) && !bytes.HasPrefix(file, []byte("\xff\xd8\xff")) {
		return invalid(field, "is not a PNG, JPEG or WebP file that can be decoded")
	}
	return nil
}

func checkGuidance(field string, scale *float64) *Error {
	if scale != nil && !(*scale >= 0 && *scale <= math.MaxFloat64) {
		return invalid(field, "%s is not a finite number of 0 or more", decimal(*scale))
	}
	return nil
}

func checkStrength(params *imagegenv1.Img2ImgParams) *Error {
	if params.Strength == nil {
		return nil
	}
	strength, shown := *params.Strength, general(*params.Strength)
	if !(0 < strength && strength <= 1 && int(1000*strength) >= 2) {
		return invalid("params.strength", "%s is outside 0.002 … 1", shown)
	}
	steps := int(params.GetNumInferenceSteps())
	if steps > 0 && int(float64(steps)*strength) < 1 {
		return invalid("params.strength", "%s of %d steps runs none; use num_inference_steps ≥ %d or strength ≥ %s",
			shown, steps, fewestSteps(strength), leastStrength(steps))
	}
	return nil
}

func fewestSteps(strength float64) int {
	steps := max(int(1/strength), 1)
	for int(float64(steps)*strength) < 1 {
		steps++
	}
	return steps
}

// leastStrength is the smallest strength in thousandths that runs a step.
func leastStrength(steps int) string {
	thousandths := (1000 + steps - 1) / steps
	for int(float64(steps)*(float64(thousandths)/1000)) < 1 {
		thousandths++
	}
	return general(float64(thousandths) / 1000)
}

func checkSeed(field string, seed *uint64, count *uint32) *Error {
	if seed == nil || count == nil || *count == 0 {
		return nil
	}
	if largest := math.MaxUint64 - uint64(*count) + 1; *seed > largest {
		return invalid(field, "%d is outside 0 … %d", *seed, largest)
	}
	return nil
}

func checkItems(items []*imagegenv1.InterpolationItem) *Error {
	weighted := 0
	for i, item := range items {
		path := itemPath(i)
		if content, isImage := item.GetContent().(*imagegenv1.InterpolationItem_Image); isImage && len(content.Image) > 0 {
			if failed := checkImage(path+".image", content.Image); failed != nil {
				return failed
			}
		}
		if item.Weight != nil {
			weighted++
		}
	}
	if weighted == 0 {
		return nil
	}
	for i, item := range items {
		if item.Weight == nil {
			return invalid(itemPath(i)+".weight", "is not set, but other items' are; set all or none")
		}
		if math.IsNaN(*item.Weight) || math.IsInf(*item.Weight, 0) {
			return invalid(itemPath(i)+".weight", "%s is not a finite number", decimal(*item.Weight))
		}
	}
	return nil
}

func itemPath(index int) string {
	return "items[" + strconv.Itoa(index) + "]"
}

// checkTensor looks at what is there: the server knows the shape it needs.
func checkTensor(field string, tensor *imagegenv1.Tensor) *Error {
	if tensor == nil {
		return nil
	}
	rows, columns := shapeOf(tensor)
	size := rows * columns
	if size <= 0 || size*elementBytes(tensor) != len(tensor.GetData()) {
		return nil // its dtype, shape or size is wrong: the server says how
	}
	for i := range size {
		if value := float64(element(tensor, i)); math.IsNaN(value) || math.IsInf(value, 0) {
			return invalid(field+".data", "must be finite, but holds NaN or infinity")
		}
	}
	return nil
}

// general writes a number as Python's format "g" does.
func general(value float64) string {
	return strings.TrimPrefix(strings.ToLower(strconv.FormatFloat(value, 'g', 6, 64)), "+")
}

// decimal writes a number as Python's str does.
func decimal(value float64) string {
	switch magnitude := math.Abs(value); {
	case math.IsNaN(value) || math.IsInf(value, 0):
		return general(value)
	case magnitude != 0 && (magnitude < 1e-4 || magnitude >= 1e16):
		return strconv.FormatFloat(value, 'e', -1, 64)
	default:
		digits := strconv.FormatFloat(value, 'f', -1, 64)
		if !strings.Contains(digits, ".") {
			digits += ".0"
		}
		return digits
	}
}
