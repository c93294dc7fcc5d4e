package kandinsky_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/kandinsky-serving/kandinsky-serving/clients/go/kandinsky"
)

func Example() {
	client, err := kandinsky.New(kandinsky.Config{Servers: []string{os.Getenv("KANDINSKY_SERVER")}})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	sketch, err := os.ReadFile("../../../demo/sketch.png")
	if err != nil {
		log.Fatal(err)
	}
	result, err := client.Img2Img(context.Background(), kandinsky.Img2ImgRequest{
		Image:    sketch,
		Prompt:   "a red circle on a blue background",
		Strength: new(0.7),
		Seed:     new(uint64(7)),
	})
	if err != nil {
		log.Fatal(err)
	}
	picture := result.Pictures[0]
	fmt.Println(picture.Format, picture.Width, picture.Height, "seed", result.Seed)
	// Output: png 512 512 seed 7
}

func ExampleClient_StreamImg2Img() {
	client, err := kandinsky.New(kandinsky.Config{Servers: []string{os.Getenv("KANDINSKY_SERVER")}})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	sketch, err := os.ReadFile("../../../demo/sketch.png")
	if err != nil {
		log.Fatal(err)
	}
	request := kandinsky.Img2ImgRequest{Image: sketch, Prompt: "a red circle", PreviewEverySteps: 5}
	for event, err := range client.StreamImg2Img(context.Background(), request) {
		if err != nil {
			log.Fatal(err)
		}
		switch event := event.(type) {
		case kandinsky.Queued:
			fmt.Println("waiting for the", event.Tier)
		case kandinsky.Progress:
			fmt.Printf("step %d of %d\n", event.Step, event.TotalSteps) // event.Preview.Decode() where it is not nil
		case *kandinsky.Img2ImgResult:
			fmt.Println(len(event.Pictures), "picture")
		}
	}
	// Output:
	// waiting for the prior
	// step 1 of 2
	// step 2 of 2
	// 1 picture
}

func ExampleClient_EncodePrompt() {
	client, err := kandinsky.New(kandinsky.Config{Servers: []string{os.Getenv("KANDINSKY_SERVER")}})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	encoded, err := client.EncodePrompt(context.Background(), kandinsky.EncodePromptRequest{Prompt: "a red circle"})
	if err != nil {
		log.Fatal(err)
	}
	// To be kept, and sent with any number of requests as Img2ImgRequest.Embeddings.
	file, err := encoded.Embeddings.MarshalBinary()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(encoded.Embeddings.Len(), "embedding,", len(file) > 0)
	// Output: 1 embedding, true
}

func ExampleClient_Interpolate() {
	client, err := kandinsky.New(kandinsky.Config{Servers: []string{os.Getenv("KANDINSKY_SERVER")}})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	mix, err := client.Interpolate(context.Background(), kandinsky.InterpolateRequest{Items: []kandinsky.Item{
		{Text: "a red circle", Weight: new(0.7)},
		{Text: "a blue square", Weight: new(0.3)},
	}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(mix.Embeddings.Image())
	// Output: [[1 2 3]]
}

func ExampleError() {
	client, err := kandinsky.New(kandinsky.Config{Servers: []string{os.Getenv("KANDINSKY_SERVER")}})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err = client.Img2Img(ctx, kandinsky.Img2ImgRequest{Prompt: "a red circle"})
	if failed, ok := errors.AsType[*kandinsky.Error](err); ok {
		for _, violation := range failed.Violations {
			fmt.Println(violation.Field, violation.Description)
		}
		if failed.RetryAfter != nil {
			fmt.Println("come back in", *failed.RetryAfter)
		}
	}
	// Output: image must be a PNG, JPEG or WebP file, but is empty
}

func ExampleConfig() {
	secured, err := kandinsky.TLSFiles{CA: "ca.pem", Cert: "client.pem", Key: "client.key"}.Config()
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := kandinsky.New(kandinsky.Config{
		Servers: []string{"gateway-0.example.org:50050", "gateway-1.example.org:50050"},
		TLS:     secured,
		Token:   os.Getenv("KANDINSKY_TOKEN"),
		Timeout: time.Minute,
		Retry:   kandinsky.Retry{Busy: true},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	// Output: kandinsky: open ca.pem: no such file or directory
}
