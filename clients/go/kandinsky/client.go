package kandinsky

import (
	"cmp"
	"context"
	"errors"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	imagegenv1 "github.com/kandinsky-serving/kandinsky-serving/clients/go/gen/imagegen/v1"
)

// Client is a connection to one or several gateways, for any number of calls
// at the same time.
type Client struct {
	connection *grpc.ClientConn
	service    imagegenv1.ImageServiceClient
	gateways   []*grpc.ClientConn // one for each of several servers, for what only one of them knows
	config     Config
}

// New returns a client. It connects with the first call, so that its error is
// only ever about the Config.
func New(config Config) (*Client, error) {
	target, options, err := dialing(config)
	if err != nil {
		return nil, err
	}
	connection, err := grpc.NewClient(target, options...)
	if err != nil {
		return nil, err
	}
	client := &Client{connection: connection, service: imagegenv1.NewImageServiceClient(connection), config: config}
	if len(config.Servers) < 2 {
		client.gateways = []*grpc.ClientConn{connection}
		return client, nil
	}
	for _, server := range config.Servers {
		gateway, err := grpc.NewClient(server, options...)
		if err != nil {
			return nil, errors.Join(err, client.Close())
		}
		client.gateways = append(client.gateways, gateway)
	}
	return client, nil
}

// Close closes the connections; calls that still run fail with CANCELLED.
func (c *Client) Close() error {
	failures := []error{c.connection.Close()}
	for _, gateway := range c.gateways {
		if gateway != c.connection {
			failures = append(failures, gateway.Close())
		}
	}
	return errors.Join(failures...)
}

// Img2Img makes pictures of a picture and a prompt, and returns when they are
// done.
func (c *Client) Img2Img(ctx context.Context, request Img2ImgRequest) (*Img2ImgResult, error) {
	message, err := request.message()
	if err != nil {
		return nil, err
	}
	answer, err := call(ctx, c, c.service.Img2Img, message)
	if err != nil {
		return nil, err
	}
	return img2ImgResult(answer.GetResult()), nil
}

// EncodePrompt turns a prompt into embeddings, to be kept and sent with any
// number of Img2Img requests.
func (c *Client) EncodePrompt(ctx context.Context, request EncodePromptRequest) (*EncodeResult, error) {
	message, err := request.message()
	if err != nil {
		return nil, err
	}
	answer, err := call(ctx, c, c.service.EncodePrompt, message)
	if err != nil {
		return nil, err
	}
	return encodeResult(answer), nil
}

// Interpolate mixes texts and pictures into one embedding.
func (c *Client) Interpolate(ctx context.Context, request InterpolateRequest) (*EncodeResult, error) {
	message, err := request.message()
	if err != nil {
		return nil, err
	}
	answer, err := call(ctx, c, c.service.Interpolate, message)
	if err != nil {
		return nil, err
	}
	return encodeResult(answer), nil
}

// Cancel stops a request in whatever phase it is; its caller gets CANCELLED.
// Stopping it twice does no harm. Only the gateway that has the request knows
// it: all Config.Servers are asked, but of several behind one dns:///name only
// one is.
func (c *Client) Cancel(ctx context.Context, requestID string) (CancelResult, error) {
	message := &imagegenv1.CancelRequest{RequestId: requestID}
	answers := make([]*imagegenv1.CancelResponse, len(c.gateways))
	failures := make([]error, len(c.gateways))
	var calls sync.WaitGroup
	for i, gateway := range c.gateways {
		calls.Go(func() {
			answers[i], failures[i] = call(ctx, c, imagegenv1.NewImageServiceClient(gateway).Cancel, message)
		})
	}
	calls.Wait()
	for _, answer := range answers {
		if answer.GetFound() {
			return CancelResult{Found: true, Phase: Phase(enumName(answer.GetPhase()))}, nil
		}
	}
	return CancelResult{}, cmp.Or(failures...)
}

// Info tells what is loaded, what is allowed, and how busy everything is.
func (c *Client) Info(ctx context.Context) (*Info, error) {
	return call(ctx, c, c.service.GetServerInfo, &imagegenv1.GetServerInfoRequest{})
}

// withTimeout gives a context that has no deadline the Config's.
func (c *Client) withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, has := ctx.Deadline(); has || c.config.Timeout == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, c.config.Timeout)
}

// call sends a request until it succeeds or may not be sent again.
func call[Request, Answer any](
	ctx context.Context, c *Client,
	method func(context.Context, *Request, ...grpc.CallOption) (*Answer, error), request *Request,
) (*Answer, error) {
	ctx, cancel := c.withTimeout(ctx)
	defer cancel()
	retries := retries{policy: c.config.Retry}
	for {
		var header metadata.MD
		answer, err := method(ctx, request, grpc.Header(&header))
		if err == nil {
			return answer, nil
		}
		failed := errorOf(err, header)
		if !retries.wait(ctx, failed) {
			return nil, failed
		}
	}
}
