package kandinsky

import (
	"math"

	imagegenv1 "github.com/kandinsky-serving/kandinsky-serving/clients/go/gen/imagegen/v1"
)

// Scheduler is a sampling method.
type Scheduler string

// The sampling methods; the zero value is the checkpoint's own.
const (
	DDIM          Scheduler = "ddim"
	DDPM          Scheduler = "ddpm"
	DPMSolverPP2M Scheduler = "dpm_solver_pp_2m"
)

// ResizeMode is how a picture is fitted to the asked width and height.
type ResizeMode string

// The ways to fit a picture; the zero value is Stretch.
const (
	Stretch ResizeMode = "stretch"
	Fit     ResizeMode = "fit"
	Crop    ResizeMode = "crop"
)

// ImageFormat is a picture's file format.
type ImageFormat string

// The file formats; the zero value is PNG. WebP is lossless here.
const (
	PNG  ImageFormat = "png"
	JPEG ImageFormat = "jpeg"
	WebP ImageFormat = "webp"
)

// Priority is whose turn it is among one's own requests.
type Priority string

// The priorities; the zero value is Normal.
const (
	High   Priority = "high"
	Normal Priority = "normal"
	Low    Priority = "low"
)

// Img2ImgRequest asks for pictures. Image is needed; what is nil or empty
// takes the server's default.
type Img2ImgRequest struct {
	// Image is the picture to start from: a PNG, JPEG or WebP file. See
	// EncodePNG for an image.Image.
	Image []byte
	// Prompt is what the picture shall show.
	Prompt string
	// NegativePrompt is what it shall not show. "" counts as one: the prior is
	// then guided away from an empty prompt.
	NegativePrompt *string
	// Width and Height of the result in pixels.
	Width, Height *int
	// NumInferenceSteps is the length of the schedule, of which the last
	// int(NumInferenceSteps × Strength) steps are run.
	NumInferenceSteps *int
	// Strength is how far the result may move from the picture, 0.002 to 1.
	Strength *float64
	// GuidanceScale is how closely the decoder follows the prompt; at 1 and
	// below it runs without guidance.
	GuidanceScale *float64
	// Seed of the noise; image i uses Seed + i. Nil: the server draws one.
	Seed *uint64
	// NumImages is how many images to make.
	NumImages *int
	// Scheduler is the sampling method.
	Scheduler Scheduler
	// ResizeMode is how the picture is fitted to Width and Height.
	ResizeMode ResizeMode
	// OutputFormat is the file format of the results.
	OutputFormat ImageFormat
	// Prior is how the prompt is turned into embeddings. Its Seed lets all
	// images share one embedding; nil: each has that of its own seed.
	Prior PriorOptions
	// Embeddings are what EncodePrompt or Interpolate gave; the prior is
	// skipped, and Prior must be empty.
	Embeddings *Embeddings
	// Priority is whose turn it is among one's own requests.
	Priority Priority
	// RequestID names the request in the server's log and for Cancel. Empty:
	// the server draws one.
	RequestID string
	// PreviewEverySteps is for StreamImg2Img: a preview with every n-th step;
	// 0: none.
	PreviewEverySteps int
}

// PriorOptions is how a prompt is turned into embeddings.
type PriorOptions struct {
	// NumInferenceSteps is the number of the prior's steps.
	NumInferenceSteps *int
	// GuidanceScale is how closely the prior follows the prompt.
	GuidanceScale *float64
	// Seed of the embedding's noise.
	Seed *uint64
}

// EncodePromptRequest asks for the embeddings of a prompt.
type EncodePromptRequest struct {
	// Prompt is what the picture shall show.
	Prompt string
	// NegativePrompt is what it shall not show. "" counts as one.
	NegativePrompt *string
	PriorOptions
	// NumEmbeddings is how many to make; embedding i uses Seed + i. Nil: 1.
	NumEmbeddings *int
	Priority      Priority
	RequestID     string
}

// InterpolateRequest asks for a weighted sum of embeddings.
type InterpolateRequest struct {
	// Items are what to mix, 1 or more.
	Items []Item
	// NegativePrompt is what the picture shall not show.
	NegativePrompt string
	// NegativePriorPrompt is what the prior is guided away from while it
	// encodes each text. "" counts as one.
	NegativePriorPrompt *string
	PriorOptions
	Priority  Priority
	RequestID string
}

// Item is one ingredient of a mix: a text, or a picture where Image is set.
type Item struct {
	Text string
	// Image is a PNG, JPEG or WebP file.
	Image []byte
	// Weight is its share, any finite number, not normalised. Nil on all
	// items: all count the same and add up to 1.
	Weight *float64
}

func (r Img2ImgRequest) message() (*imagegenv1.Img2ImgRequest, error) {
	var to converter
	message := &imagegenv1.Img2ImgRequest{
		RequestId:      r.RequestID,
		Prompt:         r.Prompt,
		NegativePrompt: r.NegativePrompt,
		Image:          r.Image,
		Params: &imagegenv1.Img2ImgParams{
			Width:             to.uint32("params.width", r.Width),
			Height:            to.uint32("params.height", r.Height),
			NumInferenceSteps: to.uint32("params.num_inference_steps", r.NumInferenceSteps),
			Strength:          r.Strength,
			GuidanceScale:     r.GuidanceScale,
			Seed:              r.Seed,
			NumImages:         to.uint32("params.num_images", r.NumImages),
			Scheduler:         enumNumber[imagegenv1.SchedulerType](&to, "params.scheduler", string(r.Scheduler)),
			ResizeMode:        enumNumber[imagegenv1.ResizeMode](&to, "params.resize_mode", string(r.ResizeMode)),
			OutputFormat:      enumNumber[imagegenv1.ImageFormat](&to, "params.output_format", string(r.OutputFormat)),
		},
		Priority: enumNumber[imagegenv1.Priority](&to, "priority", string(r.Priority)),
	}
	if r.Prior != (PriorOptions{}) {
		message.Prior = r.Prior.message(&to, "prior.")
	}
	if r.Embeddings != nil {
		message.Embeddings = r.Embeddings.message
	}
	if to.failed == nil {
		to.failed = checkImg2Img(message)
	}
	return message, to.err()
}

func (r Img2ImgRequest) streamMessage() (*imagegenv1.StreamImg2ImgRequest, error) {
	message, err := r.message()
	if err != nil {
		return nil, err
	}
	var to converter
	every := to.uint32("preview_every_steps", &r.PreviewEverySteps)
	if to.failed != nil {
		return nil, to.failed
	}
	return &imagegenv1.StreamImg2ImgRequest{Request: message, PreviewEverySteps: *every}, nil
}

func (r EncodePromptRequest) message() (*imagegenv1.EncodePromptRequest, error) {
	var to converter
	message := &imagegenv1.EncodePromptRequest{
		RequestId:      r.RequestID,
		Prompt:         r.Prompt,
		NegativePrompt: r.NegativePrompt,
		Params:         r.PriorOptions.message(&to, "params."),
		NumEmbeddings:  to.uint32("num_embeddings", r.NumEmbeddings),
		Priority:       enumNumber[imagegenv1.Priority](&to, "priority", string(r.Priority)),
	}
	if to.failed == nil {
		to.failed = checkEncodePrompt(message)
	}
	return message, to.err()
}

func (r InterpolateRequest) message() (*imagegenv1.InterpolateRequest, error) {
	var to converter
	message := &imagegenv1.InterpolateRequest{
		RequestId:           r.RequestID,
		NegativePrompt:      r.NegativePrompt,
		NegativePriorPrompt: r.NegativePriorPrompt,
		Params:              r.PriorOptions.message(&to, "params."),
		Priority:            enumNumber[imagegenv1.Priority](&to, "priority", string(r.Priority)),
	}
	for _, item := range r.Items {
		message.Items = append(message.Items, item.message())
	}
	if to.failed == nil {
		to.failed = checkInterpolate(message)
	}
	return message, to.err()
}

func (o PriorOptions) message(to *converter, prefix string) *imagegenv1.PriorParams {
	return &imagegenv1.PriorParams{
		NumInferenceSteps: to.uint32(prefix+"num_inference_steps", o.NumInferenceSteps),
		GuidanceScale:     o.GuidanceScale,
		Seed:              o.Seed,
	}
}

func (i Item) message() *imagegenv1.InterpolationItem {
	if i.Image != nil {
		return &imagegenv1.InterpolationItem{
			Content: &imagegenv1.InterpolationItem_Image{Image: i.Image}, Weight: i.Weight,
		}
	}
	return &imagegenv1.InterpolationItem{Content: &imagegenv1.InterpolationItem_Text{Text: i.Text}, Weight: i.Weight}
}

// converter notes the first value that a message cannot hold.
type converter struct{ failed *Error }

func (c *converter) uint32(field string, value *int) *uint32 {
	if value == nil {
		return nil
	}
	if (*value < 0 || *value > math.MaxUint32) && c.failed == nil {
		c.failed = invalid(field, "%d is outside 0 … %d", *value, uint32(math.MaxUint32))
	}
	return new(uint32(*value))
}

// err is the failure as an error: a nil *Error in an error would not be nil.
func (c *converter) err() error {
	if c.failed == nil {
		return nil
	}
	return c.failed
}
