package live

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	imagegenv1 "github.com/kandinsky-serving/kandinsky-serving/clients/go/gen/imagegen/v1"
	"github.com/kandinsky-serving/kandinsky-serving/clients/go/kandinsky"
)

// outcome is what a caller has seen of a case, as data.
type outcome map[string]any

// runner carries cases out with the client.
type runner struct {
	client     *kandinsky.Client
	sent       *int                       // how many requests have left the client
	embeddings map[string]json.RawMessage // by case, what was answered
}

func (r runner) run(ctx context.Context, c testCase) (outcome, error) {
	if c.TimeoutSeconds > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout())
		defer cancel()
	}
	before := *r.sent
	seen, err := r.call(ctx, c)
	failed, isOurs := errors.AsType[*kandinsky.Error](err)
	if !isOurs {
		return seen, err
	}
	return outcome{"error": errorOutcome(failed, *r.sent > before)}, nil
}

func (r runner) call(ctx context.Context, c testCase) (outcome, error) {
	switch c.Method {
	case "Img2Img":
		message := &imagegenv1.Img2ImgRequest{}
		if err := c.read(message, r.embeddings); err != nil {
			return nil, err
		}
		return r.img2img(ctx, message)
	case "StreamImg2Img":
		message := &imagegenv1.StreamImg2ImgRequest{}
		if err := c.read(message, r.embeddings); err != nil {
			return nil, err
		}
		return r.stream(ctx, message)
	case "EncodePrompt":
		message := &imagegenv1.EncodePromptRequest{}
		if err := c.read(message, r.embeddings); err != nil {
			return nil, err
		}
		return r.encoded(c.Name)(r.client.EncodePrompt(ctx, encodePrompt(message)))
	case "Interpolate":
		message := &imagegenv1.InterpolateRequest{}
		if err := c.read(message, r.embeddings); err != nil {
			return nil, err
		}
		return r.encoded(c.Name)(r.client.Interpolate(ctx, interpolate(message)))
	case "Cancel":
		message := &imagegenv1.CancelRequest{}
		if err := c.read(message, nil); err != nil {
			return nil, err
		}
		found, err := r.client.Cancel(ctx, message.GetRequestId())
		return outcome{"found": found.Found, "phase": found.Phase}, err
	case "GetServerInfo":
		info, err := r.client.Info(ctx)
		return outcome{"tiers": tiers(info)}, err
	default:
		return nil, fmt.Errorf("no method %q", c.Method)
	}
}

func (r runner) img2img(ctx context.Context, message *imagegenv1.Img2ImgRequest) (outcome, error) {
	request, err := img2img(message)
	if err != nil {
		return nil, err
	}
	result, err := r.client.Img2Img(ctx, request)
	if err != nil {
		return nil, err
	}
	return pictures(result), nil
}

func (r runner) stream(ctx context.Context, message *imagegenv1.StreamImg2ImgRequest) (outcome, error) {
	request, err := img2img(message.GetRequest())
	if err != nil {
		return nil, err
	}
	request.PreviewEverySteps = int(message.GetPreviewEverySteps())
	var kinds []string
	note := func(kind string) {
		if !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	var result *kandinsky.Img2ImgResult
	steps := 0
	for event, err := range r.client.StreamImg2Img(ctx, request) {
		if err != nil {
			return nil, err
		}
		switch event := event.(type) {
		case kandinsky.Queued:
			note("queued")
		case kandinsky.PromptEncoded:
			note("prompt_encoded")
		case kandinsky.Progress:
			note("progress")
			steps = event.TotalSteps
		case *kandinsky.Img2ImgResult:
			note("result")
			result = event
		}
	}
	seen := pictures(result)
	seen["events"], seen["steps"] = kinds, steps
	return seen, nil
}

func pictures(result *kandinsky.Img2ImgResult) outcome {
	files := make([]outcome, len(result.Pictures))
	for i, picture := range result.Pictures {
		files[i] = outcome{
			"format": picture.Format, "width": picture.Width, "height": picture.Height, "sha256": digest(picture.Data),
		}
	}
	return outcome{
		"pictures": files, "seed": result.Seed, "denoising_steps": result.Receipt.GetDenoisingSteps(),
		"truncated": truncated(result.Receipt),
	}
}

// encoded notes a case's embeddings for later ones.
func (r runner) encoded(name string) func(*kandinsky.EncodeResult, error) (outcome, error) {
	return func(result *kandinsky.EncodeResult, err error) (outcome, error) {
		if err != nil {
			return nil, err
		}
		if r.embeddings[name], err = embeddingsJSON(result.Embeddings); err != nil {
			return nil, err
		}
		vectors := result.Embeddings.Image()
		var numbers []byte
		for _, vector := range vectors {
			for _, number := range vector {
				numbers = binary.LittleEndian.AppendUint32(numbers, math.Float32bits(number))
			}
		}
		return outcome{
			"embeddings": outcome{"shape": []int{len(vectors), len(vectors[0])}, "sha256": digest(numbers)},
			"seed":       result.Seed, "truncated": truncated(result.Receipt),
		}, nil
	}
}

func embeddingsJSON(embeddings *kandinsky.Embeddings) (json.RawMessage, error) {
	data, err := embeddings.MarshalBinary()
	if err != nil {
		return nil, err
	}
	message := &imagegenv1.ImageEmbeddings{}
	if err := proto.Unmarshal(data, message); err != nil {
		return nil, err
	}
	return protojson.Marshal(message)
}

func errorOutcome(failed *kandinsky.Error, sent bool) outcome {
	violations := []string{}
	for _, violation := range failed.Violations {
		violations = append(violations, violation.Field+": "+violation.Description)
	}
	return outcome{
		"code": codeNames[failed.Code], "reason": failed.Reason, "violations": violations,
		"retry": failed.RetryAfter != nil, "sent": sent,
	}
}

// codeNames are gRPC's own spelling, which grpc-go does not export.
var codeNames = map[codes.Code]string{
	codes.InvalidArgument: "INVALID_ARGUMENT", codes.DeadlineExceeded: "DEADLINE_EXCEEDED", codes.Internal: "INTERNAL",
	codes.FailedPrecondition: "FAILED_PRECONDITION", codes.AlreadyExists: "ALREADY_EXISTS", codes.Unknown: "UNKNOWN",
	codes.ResourceExhausted: "RESOURCE_EXHAUSTED", codes.Unavailable: "UNAVAILABLE", codes.Canceled: "CANCELLED",
	codes.Unauthenticated: "UNAUTHENTICATED", codes.PermissionDenied: "PERMISSION_DENIED",
}

func truncated(receipt *kandinsky.Receipt) []string {
	fields := []string{}
	for _, truncation := range receipt.GetTruncations() {
		fields = append(fields, truncation.GetField())
	}
	return fields
}

func tiers(info *kandinsky.Info) []string {
	var names []string
	for _, worker := range info.GetWorkers() {
		names = append(names, name(worker.GetTier()))
	}
	slices.Sort(names)
	return names
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// counting adds up the requests that leave a client.
func counting(sent *int) []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithChainUnaryInterceptor(func(
			ctx context.Context, method string, request, answer any, connection *grpc.ClientConn,
			invoke grpc.UnaryInvoker, options ...grpc.CallOption,
		) error {
			*sent++
			return invoke(ctx, method, request, answer, connection, options...)
		}),
		grpc.WithChainStreamInterceptor(func(
			ctx context.Context, description *grpc.StreamDesc, connection *grpc.ClientConn, method string,
			open grpc.Streamer, options ...grpc.CallOption,
		) (grpc.ClientStream, error) {
			*sent++
			return open(ctx, description, connection, method, options...)
		}),
	}
}
