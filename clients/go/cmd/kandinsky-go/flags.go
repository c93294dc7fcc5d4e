package main

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/kandinsky-serving/kandinsky-serving/clients/go/kandinsky"
)

// given is what the flags say.
type given struct {
	servers string
	tls     bool
	files   kandinsky.TLSFiles
	token   string
	timeout time.Duration
	image   string
	out     string
	request kandinsky.Img2ImgRequest // but for the image
}

func parse(arguments []string, stderr io.Writer) (*given, error) {
	own := new(given)
	flags := flag.NewFlagSet("kandinsky-go img2img", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, usage)
		flags.PrintDefaults()
	}
	own.connection(flags)
	own.picture(flags)
	if err := flags.Parse(arguments); err != nil {
		return nil, err
	}
	for _, needed := range []string{"prompt", "image", "out"} {
		if flags.Lookup(needed).Value.String() == "" {
			err := fmt.Errorf("-%s is needed", needed)
			fmt.Fprintf(stderr, "%s: %v\n", flags.Name(), err)
			return nil, err
		}
	}
	return own, nil
}

func (g *given) connection(flags *flag.FlagSet) {
	server := cmp.Or(os.Getenv("KANDINSKY_SERVER"), kandinsky.DefaultServer)
	flags.StringVar(&g.servers, "server", server, "the gateway, `HOST:PORT`; several, with commas between, share the calls")
	flags.BoolVar(&g.tls, "tls", false, "encrypt, and trust the system's authorities")
	flags.StringVar(&g.files.CA, "ca", "", "`FILE` of the authorities that the gateway's certificate may be of; implies -tls")
	flags.StringVar(&g.files.Cert, "client-cert", "", "`FILE` of this client's own certificate; implies -tls")
	flags.StringVar(&g.files.Key, "client-key", "", "`FILE` of its private key")
	flags.StringVar(&g.token, "token", "", "who asks, where the gateway wants to know; else $KANDINSKY_TOKEN")
	flags.DurationVar(&g.timeout, "timeout", 0, "how long the call may take, for example 90s; 0: as long as it does")
}

func (g *given) picture(flags *flag.FlagSet) {
	request := &g.request
	flags.StringVar(&g.image, "image", "", "the picture to start from, a PNG, JPEG or WebP `FILE`")
	flags.StringVar(&g.out, "out", "", "`FILE` of the result; several become NAME-0, NAME-1, …")
	flags.StringVar(&request.Prompt, "prompt", "", "what the picture shall show")
	optional(flags, &request.NegativePrompt, "negative-prompt", "what it shall not show", text)
	optional(flags, &request.Width, "width", "width of the result in pixels", strconv.Atoi)
	optional(flags, &request.Height, "height", "height of the result in pixels", strconv.Atoi)
	optional(flags, &request.NumInferenceSteps, "steps", "length of the schedule; steps × strength are run", strconv.Atoi)
	optional(flags, &request.Strength, "strength", "how far to move from the picture, at most 1", float)
	optional(flags, &request.GuidanceScale, "guidance-scale", "how closely to follow the prompt", float)
	optional(flags, &request.Prior.NumInferenceSteps, "prior-steps", "steps of the prior", strconv.Atoi)
	optional(flags, &request.Prior.GuidanceScale, "prior-guidance-scale", "how closely the prior follows the prompt", float)
	optional(flags, &request.Seed, "seed", "seed of the noise; image i uses seed + i", seed)
	optional(flags, &request.Prior.Seed, "prior-seed", "seed of one embedding for all images", seed)
	optional(flags, &request.NumImages, "num-images", "how many images to make", strconv.Atoi)
	flags.StringVar(&request.RequestID, "request-id", "", "names the request in the server's log")
}

// optional is a flag that leaves its target nil when it is not given.
func optional[T any](flags *flag.FlagSet, target **T, name, help string, read func(string) (T, error)) {
	flags.Func(name, help, func(written string) error {
		value, err := read(written)
		if err != nil {
			return err
		}
		*target = &value
		return nil
	})
}

func text(written string) (string, error)   { return written, nil }
func float(written string) (float64, error) { return strconv.ParseFloat(written, 64) }
func seed(written string) (uint64, error)   { return strconv.ParseUint(written, 10, 64) }

// config is how to reach the server.
func (g *given) config() (kandinsky.Config, error) {
	config := kandinsky.Config{Servers: strings.Split(g.servers, ","), Token: cmp.Or(g.token, os.Getenv("KANDINSKY_TOKEN")), Timeout: g.timeout}
	if g.tls || g.files != (kandinsky.TLSFiles{}) {
		secured, err := g.files.Config()
		if err != nil {
			return config, err
		}
		config.TLS = secured
	}
	return config, nil
}
