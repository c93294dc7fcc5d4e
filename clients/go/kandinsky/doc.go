// Package kandinsky is a client of a kandinsky-serving gateway: image-to-image
// with Kandinsky 2.1 over gRPC.
//
// The zero Config talks to a gateway on this machine without encryption, as
// "kandinsky serve" starts one:
//
//	client, err := kandinsky.New(kandinsky.Config{})
//	...
//	defer client.Close()
//	result, err := client.Img2Img(ctx, kandinsky.Img2ImgRequest{
//		Image:    sketch, // the bytes of a PNG, JPEG or WebP file
//		Prompt:   "a red circle on a blue background",
//		Strength: new(0.7),
//		Seed:     new(uint64(1234)),
//	})
//
// A nil field takes the server's default, because 0 and "" are values: the
// built-in new(0.7) makes a pointer to a number.
//
// # Contexts
//
// The context's deadline goes to the server, which refuses at once what it
// cannot do in time. When a context is cancelled, or the loop over a stream is
// left, the server frees the device before its next step. Outgoing gRPC
// metadata of the context, a traceparent for example, is sent along.
//
// # Errors
//
// Every failed call returns an [*Error], whose fields say what is wrong and
// when to come back:
//
//	if failed, ok := errors.AsType[*kandinsky.Error](err); ok {
//		for _, violation := range failed.Violations {
//			fmt.Println(violation.Field, violation.Description)
//		}
//	}
//
// What the client can tell to be wrong it refuses before anything is sent, in
// the server's own words. errors.Is works with context.Canceled and
// context.DeadlineExceeded, and status.Code of grpc-go with every error.
//
// # Retries
//
// A call that failed with UNAVAILABLE is sent again, with growing pauses and
// never before the server asked for it, as long as its caller has seen nothing
// of an answer. That is safe: a request changes nothing on the server, which
// drops the work of a call that is lost. See [Retry].
//
// # Several gateways
//
// With several Config.Servers, or one dns:///name:port, calls go to all of
// them in turn and past those that are down.
package kandinsky
