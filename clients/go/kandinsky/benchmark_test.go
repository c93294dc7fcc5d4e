package kandinsky

import (
	"math/rand/v2"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	imagegenv1 "github.com/kandinsky-serving/kandinsky-serving/clients/go/gen/imagegen/v1"
)

// A 512×512 RGB PNG of noise: the largest that a picture of this size can be.
const pictureBytes = 512 * 512 * 3

// BenchmarkImg2Img is what a request costs through this package and through
// the generated stub, both over loopback to a gateway that does no work.
func BenchmarkImg2Img(b *testing.B) {
	picture := append([]byte(nil), anyPNG...)
	for len(picture) < pictureBytes {
		picture = append(picture, byte(rand.Uint32()))
	}
	server := serve(b, &fakeGateway{picture: picture})
	stub, client := stubCall(b, server, picture), clientCall(b, server, picture)
	b.Run("stub", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			stub(b)
		}
	})
	b.Run("client", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			client(b)
		}
	})
	b.Run("added", func(b *testing.B) { added(b, stub, client) })
}

// added is what the client adds to the stub, both measured in turn.
func added(b *testing.B, stub, client func(testing.TB)) {
	var ofStub, ofClient time.Duration
	for b.Loop() {
		start := time.Now()
		stub(b)
		between := time.Now()
		client(b)
		ofStub, ofClient = ofStub+between.Sub(start), ofClient+time.Since(between)
	}
	perCall := (ofClient - ofStub) / time.Duration(b.N)
	b.ReportMetric(float64(perCall), "added-ns/op")
	if b.N > 100 && perCall > time.Millisecond {
		b.Errorf("the client adds %v to a call; 1 ms is allowed", perCall)
	}
}

func stubCall(b *testing.B, server string, picture []byte) func(testing.TB) {
	connection, err := grpc.NewClient(server, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = connection.Close() })
	stub := imagegenv1.NewImageServiceClient(connection)
	return func(b testing.TB) {
		answer, err := stub.Img2Img(b.Context(), &imagegenv1.Img2ImgRequest{
			Image: picture, Prompt: "a red circle",
			Params: &imagegenv1.Img2ImgParams{Strength: new(0.7), Seed: new(uint64(7))},
		})
		if err != nil || len(answer.GetResult().GetImages()[0].GetData()) != pictureBytes {
			b.Fatal(err)
		}
	}
}

func clientCall(b *testing.B, server string, picture []byte) func(testing.TB) {
	client := connect(b, Config{Servers: []string{server}})
	return func(b testing.TB) {
		result, err := client.Img2Img(b.Context(), Img2ImgRequest{
			Image: picture, Prompt: "a red circle", Strength: new(0.7), Seed: new(uint64(7)),
		})
		if err != nil || len(result.Pictures[0].Data) != pictureBytes {
			b.Fatal(err)
		}
	}
}
