// Command kandinsky-go makes pictures with a kandinsky-serving gateway: an
// example of the client, and a static binary for machines without Python.
//
//	kandinsky-go img2img -prompt "a red circle" -image sketch.png -out out.png
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"google.golang.org/grpc/codes"

	"github.com/kandinsky-serving/kandinsky-serving/clients/go/kandinsky"
)

// Exit codes, as those of the kandinsky command.
const (
	done = iota
	other
	badInput
	unreachable
	refused
	tooLate
	cancelled
	interrupted = 130
)

const usage = `usage: kandinsky-go img2img [flags]

Makes pictures of a picture and a prompt, and prints each file with the seed that makes it again. What is left out, the
model's own default fills in. -help lists the flags.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run carries the command out; it returns the exit code.
func run(ctx context.Context, arguments []string, stdout, stderr io.Writer) int {
	if len(arguments) == 0 || arguments[0] != "img2img" {
		fmt.Fprint(stderr, usage)
		return badInput
	}
	given, err := parse(arguments[1:], stderr)
	if errors.Is(err, flag.ErrHelp) {
		return done
	}
	if err != nil {
		return badInput // the flag package has said why
	}
	err = img2img(ctx, given, stdout, stderr)
	if err == nil {
		return done
	}
	if ctx.Err() != nil {
		fmt.Fprintln(stderr, "kandinsky-go img2img: interrupted")
		return interrupted
	}
	if failed, ok := errors.AsType[*kandinsky.Error](err); ok {
		fmt.Fprintf(stderr, "kandinsky-go img2img: %s\n", failed.Message)
		return exitCode(failed.Code)
	}
	fmt.Fprintf(stderr, "kandinsky-go img2img: %v\n", err)
	return other
}

func exitCode(code codes.Code) int {
	switch code {
	case codes.InvalidArgument, codes.FailedPrecondition, codes.AlreadyExists:
		return badInput
	case codes.Unavailable:
		return unreachable
	case codes.ResourceExhausted, codes.Unauthenticated, codes.PermissionDenied:
		return refused
	case codes.DeadlineExceeded:
		return tooLate
	case codes.Canceled:
		return cancelled
	default:
		return other
	}
}
