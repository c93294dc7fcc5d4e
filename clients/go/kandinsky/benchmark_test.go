package kandinsky

import (
	"math/rand/v2"
	"testing"

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
	b.Run("stub", func(b *testing.B) { benchmarkStub(b, server, picture) })
	b.Run("client", func(b *testing.B) { benchmarkClient(b, server, picture) })
}

func benchmarkStub(b *testing.B, server string, picture []byte) {
	connection, err := grpc.NewClient(server, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	defer connection.Close()
	stub := imagegenv1.NewImageServiceClient(connection)
	b.ReportAllocs()
	for b.Loop() {
		answer, err := stub.Img2Img(b.Context(), &imagegenv1.Img2ImgRequest{
			Image: picture, Prompt: "a red circle",
			Params: &imagegenv1.Img2ImgParams{Strength: new(0.7), Seed: new(uint64(7))},
		})
		if err != nil || len(answer.GetResult().GetImages()[0].GetData()) != pictureBytes {
			b.Fatal(err)
		}
	}
}

func benchmarkClient(b *testing.B, server string, picture []byte) {
	client := connect(b, Config{Servers: []string{server}})
	b.ReportAllocs()
	for b.Loop() {
		result, err := client.Img2Img(b.Context(), Img2ImgRequest{
			Image: picture, Prompt: "a red circle", Strength: new(0.7), Seed: new(uint64(7)),
		})
		if err != nil || len(result.Pictures[0].Data) != pictureBytes {
			b.Fatal(err)
		}
	}
}
