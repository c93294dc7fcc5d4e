package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/kandinsky-serving/kandinsky-serving/clients/go/kandinsky"
)

var formats = map[string]kandinsky.ImageFormat{
	".png": kandinsky.PNG, ".jpg": kandinsky.JPEG, ".jpeg": kandinsky.JPEG, ".webp": kandinsky.WebP,
}

// img2img makes the pictures, with a progress line on stderr, and prints each
// file with the seed that makes it again.
func img2img(ctx context.Context, given *given, stdout, stderr io.Writer) error {
	request := given.request
	format, known := formats[strings.ToLower(filepath.Ext(given.out))]
	if !known {
		return fmt.Errorf("-out: %s must end in .png, .jpg or .webp", given.out)
	}
	request.OutputFormat = format
	image, err := os.ReadFile(given.image)
	if err != nil {
		return fmt.Errorf("-image: %w", err)
	}
	request.Image = image
	config, err := given.config()
	if err != nil {
		return err
	}
	client, err := kandinsky.New(config)
	if err != nil {
		return err
	}
	defer client.Close()
	result, err := follow(ctx, client, request, newProgress(stderr, request.NumImages))
	if err != nil {
		return err
	}
	return write(result, given.out, stdout)
}

// follow shows the events of a request until its result.
func follow(
	ctx context.Context, client *kandinsky.Client, request kandinsky.Img2ImgRequest, line *progress,
) (*kandinsky.Img2ImgResult, error) {
	defer line.clear()
	var result *kandinsky.Img2ImgResult
	for event, err := range client.StreamImg2Img(ctx, request) {
		if err != nil {
			return nil, err
		}
		switch event := event.(type) {
		case kandinsky.Queued:
			line.queued(event)
		case kandinsky.Progress:
			line.step(event)
		case *kandinsky.Img2ImgResult:
			result = event
		}
	}
	return result, nil
}

func write(result *kandinsky.Img2ImgResult, out string, stdout io.Writer) error {
	for i, picture := range result.Pictures {
		path := out
		if len(result.Pictures) > 1 {
			suffix := filepath.Ext(out)
			path = fmt.Sprintf("%s-%d%s", strings.TrimSuffix(out, suffix), i, suffix)
		}
		if err := os.WriteFile(path, picture.Data, 0o644); err != nil {
			return err
		}
		fmt.Fprintf(stdout, "%s  seed %d\n", path, result.Seed+uint64(i))
	}
	return nil
}
