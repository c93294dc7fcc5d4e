package kandinsky

import (
	"time"

	imagegenv1 "github.com/kandinsky-serving/kandinsky-serving/clients/go/gen/imagegen/v1"
)

// The contract's own records, documented there.
type (
	// Receipt is what a request cost: times, steps, workers, retries, what was
	// cut off the prompts.
	Receipt = imagegenv1.Receipt
	// Truncation is the end of a text that did not fit a text encoder.
	Truncation = imagegenv1.Truncation
	// Info is the server as the gateway sees it.
	Info = imagegenv1.GetServerInfoResponse
)

// Tier is a part of a deployment: "prior", "decoder" or "gateway".
type Tier string

// Phase is how far a request has come: "queued", "encoding", "denoising" or
// "decoding".
type Phase string

// Event is one piece of news of a running request: a Queued, PromptEncoded,
// Progress or *Img2ImgResult.
type Event interface{ isEvent() }

// Queued tells that the request waits for a device. It comes first, and again
// whenever a worker has been given it.
type Queued struct {
	// RequestID is what Cancel takes.
	RequestID string
	// Tier is what the request waits for.
	Tier Tier
	// Position is how many requests are ahead of it.
	Position int
	// EstimatedWait is the time until work on it begins.
	EstimatedWait time.Duration
}

// PromptEncoded tells that the prompt has become embeddings.
type PromptEncoded struct {
	// CacheHit is whether they were known already.
	CacheHit bool
	// Truncations are what the prior's text encoder did not see.
	Truncations []*Truncation
}

// Progress tells that a step of one image is done.
type Progress struct {
	// ImageIndex is which image, from 0.
	ImageIndex int
	// Step is how many steps are done for it. It falls back when a worker was
	// lost.
	Step int
	// TotalSteps is how many it takes.
	TotalSteps int
	// Preview is what it looks like so far, where previews were asked for and
	// one was made with this step. Else nil.
	Preview *Picture
}

// Img2ImgResult are the pictures, and the last event of a stream.
type Img2ImgResult struct {
	RequestID string
	// Pictures are in the order of their seeds.
	Pictures []Picture
	// Seed of the first picture; picture i was made with Seed + i.
	Seed    uint64
	Receipt *Receipt
}

// EncodeResult is what EncodePrompt and Interpolate give.
type EncodeResult struct {
	RequestID string
	// Embeddings are to be sent with Img2Img.
	Embeddings *Embeddings
	// Seed of the first embedding; embedding i was made with Seed + i.
	Seed    uint64
	Receipt *Receipt
}

// CancelResult is what Cancel found.
type CancelResult struct {
	// Found is whether a request of this id, and one's own, was waiting or
	// running.
	Found bool
	// Phase is where it was stopped. Empty if there was none.
	Phase Phase
}

func (Queued) isEvent()         {}
func (PromptEncoded) isEvent()  {}
func (Progress) isEvent()       {}
func (*Img2ImgResult) isEvent() {}

// eventOf reads one piece of news; nil for a kind that a newer server has.
func eventOf(message *imagegenv1.StreamImg2ImgResponse) Event {
	switch event := message.GetEvent().(type) {
	case *imagegenv1.StreamImg2ImgResponse_Queued:
		queued := event.Queued
		wait := time.Duration(queued.GetEstimatedWaitSeconds() * float64(time.Second))
		return Queued{queued.GetRequestId(), Tier(enumName(queued.GetTier())), int(queued.GetPosition()), wait}
	case *imagegenv1.StreamImg2ImgResponse_PromptEncoded:
		return PromptEncoded{event.PromptEncoded.GetCacheHit(), event.PromptEncoded.GetTruncations()}
	case *imagegenv1.StreamImg2ImgResponse_Progress:
		progress := Progress{
			ImageIndex: int(event.Progress.GetImageIndex()),
			Step:       int(event.Progress.GetStep()),
			TotalSteps: int(event.Progress.GetTotalSteps()),
		}
		if preview := event.Progress.GetPreview(); preview != nil {
			progress.Preview = new(pictureOf(preview))
		}
		return progress
	case *imagegenv1.StreamImg2ImgResponse_Result:
		return img2ImgResult(event.Result)
	default:
		return nil
	}
}

func img2ImgResult(message *imagegenv1.Img2ImgResult) *Img2ImgResult {
	pictures := make([]Picture, len(message.GetImages()))
	for i, image := range message.GetImages() {
		pictures[i] = pictureOf(image)
	}
	return &Img2ImgResult{message.GetRequestId(), pictures, message.GetSeed(), message.GetReceipt()}
}

// encoded is what the answers of EncodePrompt and Interpolate share.
type encoded interface {
	GetRequestId() string
	GetEmbeddings() *imagegenv1.ImageEmbeddings
	GetSeed() uint64
	GetReceipt() *imagegenv1.Receipt
}

func encodeResult(message encoded) *EncodeResult {
	return &EncodeResult{
		message.GetRequestId(), &Embeddings{message.GetEmbeddings()}, message.GetSeed(), message.GetReceipt(),
	}
}
