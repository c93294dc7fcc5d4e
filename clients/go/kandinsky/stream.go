package kandinsky

import (
	"context"
	"errors"
	"io"
	"iter"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	imagegenv1 "github.com/kandinsky-serving/kandinsky-serving/clients/go/gen/imagegen/v1"
)

// StreamImg2Img makes pictures and tells how it goes: [Queued] first, then
// [PromptEncoded] and [Progress], the [*Img2ImgResult] last. An error is the
// last thing a loop over it sees. Leaving the loop stops the request on the
// server. Each loop over the iterator is a request of its own.
func (c *Client) StreamImg2Img(ctx context.Context, request Img2ImgRequest) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		message, err := request.streamMessage()
		if err != nil {
			yield(nil, err)
			return
		}
		ctx, cancel := c.withTimeout(ctx)
		defer cancel()
		retries := retries{policy: c.config.Retry}
		for {
			events := attempt{yield: yield}
			failed := events.run(ctx, c.service, message)
			if failed == nil {
				return
			}
			if events.seen || !retries.wait(ctx, failed) {
				yield(nil, failed)
				return
			}
		}
	}
}

// attempt is one sending of a request whose events go to a loop.
type attempt struct {
	yield func(Event, error) bool
	seen  bool // whether the loop has seen an event: from then on no error is hidden from it
}

// run hands over all events. It returns nil when the result was among them or
// the loop was left.
func (a *attempt) run(
	ctx context.Context, service imagegenv1.ImageServiceClient, message *imagegenv1.StreamImg2ImgRequest,
) *Error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := service.StreamImg2Img(ctx, message)
	if err != nil {
		return errorOf(err, nil)
	}
	for {
		answer, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return &Error{Code: codes.Internal, Message: "the server ended the stream without a result"}
		}
		if err != nil {
			return errorOf(err, headerOf(stream))
		}
		event := eventOf(answer)
		if event == nil {
			continue // of a kind that a newer server has
		}
		_, last := event.(*Img2ImgResult)
		if last {
			_, _ = stream.Recv() // the end: the server shall not see a call that was left
		}
		a.seen = true
		if !a.yield(event, nil) || last {
			return nil
		}
	}
}

func headerOf(stream grpc.ClientStream) metadata.MD {
	header, err := stream.Header()
	if err != nil {
		return nil
	}
	return header
}
