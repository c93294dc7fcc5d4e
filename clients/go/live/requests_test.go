package live

import (
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	imagegenv1 "github.com/kandinsky-serving/kandinsky-serving/clients/go/gen/imagegen/v1"
	"github.com/kandinsky-serving/kandinsky-serving/clients/go/kandinsky"
)

// A contract's request as this client's caller would write it.

func img2img(message *imagegenv1.Img2ImgRequest) (kandinsky.Img2ImgRequest, error) {
	params, prior := message.GetParams(), message.GetPrior()
	if params == nil {
		params = &imagegenv1.Img2ImgParams{}
	}
	embeddings, err := embeddingsOf(message.GetEmbeddings())
	return kandinsky.Img2ImgRequest{
		Image:             message.GetImage(),
		Prompt:            message.GetPrompt(),
		NegativePrompt:    message.NegativePrompt,
		Width:             number(params.Width),
		Height:            number(params.Height),
		NumInferenceSteps: number(params.NumInferenceSteps),
		Strength:          params.Strength,
		GuidanceScale:     params.GuidanceScale,
		Seed:              params.Seed,
		NumImages:         number(params.NumImages),
		Scheduler:         kandinsky.Scheduler(name(params.GetScheduler())),
		ResizeMode:        kandinsky.ResizeMode(name(params.GetResizeMode())),
		OutputFormat:      kandinsky.ImageFormat(name(params.GetOutputFormat())),
		Prior:             priorOptions(prior),
		Embeddings:        embeddings,
		Priority:          kandinsky.Priority(name(message.GetPriority())),
		RequestID:         message.GetRequestId(),
	}, err
}

func encodePrompt(message *imagegenv1.EncodePromptRequest) kandinsky.EncodePromptRequest {
	return kandinsky.EncodePromptRequest{
		Prompt:         message.GetPrompt(),
		NegativePrompt: message.NegativePrompt,
		PriorOptions:   priorOptions(message.GetParams()),
		NumEmbeddings:  number(message.NumEmbeddings),
		Priority:       kandinsky.Priority(name(message.GetPriority())),
		RequestID:      message.GetRequestId(),
	}
}

func interpolate(message *imagegenv1.InterpolateRequest) kandinsky.InterpolateRequest {
	request := kandinsky.InterpolateRequest{
		NegativePrompt:      message.GetNegativePrompt(),
		NegativePriorPrompt: message.NegativePriorPrompt,
		PriorOptions:        priorOptions(message.GetParams()),
		Priority:            kandinsky.Priority(name(message.GetPriority())),
		RequestID:           message.GetRequestId(),
	}
	for _, item := range message.GetItems() {
		request.Items = append(request.Items, kandinsky.Item{
			Text: item.GetText(), Image: item.GetImage(), Weight: item.Weight,
		})
	}
	return request
}

func priorOptions(params *imagegenv1.PriorParams) kandinsky.PriorOptions {
	if params == nil {
		return kandinsky.PriorOptions{}
	}
	return kandinsky.PriorOptions{
		NumInferenceSteps: number(params.NumInferenceSteps), GuidanceScale: params.GuidanceScale, Seed: params.Seed,
	}
}

func embeddingsOf(message *imagegenv1.ImageEmbeddings) (*kandinsky.Embeddings, error) {
	if message == nil {
		return nil, nil
	}
	data, err := proto.Marshal(message)
	if err != nil {
		return nil, err
	}
	embeddings := new(kandinsky.Embeddings)
	return embeddings, embeddings.UnmarshalBinary(data)
}

func number(value *uint32) *int {
	if value == nil {
		return nil
	}
	return new(int(*value))
}

// name is what the client calls an enum's value: SCHEDULER_TYPE_DDIM is ddim.
func name(value protoreflect.Enum) string {
	values := value.Descriptor().Values()
	prefix := strings.TrimSuffix(string(values.Get(0).Name()), "UNSPECIFIED")
	own := strings.ToLower(strings.TrimPrefix(string(values.ByNumber(value.Number()).Name()), prefix))
	if own == "unspecified" {
		return ""
	}
	return own
}
