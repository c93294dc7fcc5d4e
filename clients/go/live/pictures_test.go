package live

import (
	"image"
	"testing"

	"github.com/kandinsky-serving/kandinsky-serving/clients/go/kandinsky"
)

func TestALosslessFormatHasThePixelsOfTheOther(t *testing.T) {
	client := connect(t, kandinsky.Config{})
	decoded := map[kandinsky.ImageFormat]image.Image{}
	for _, format := range []kandinsky.ImageFormat{kandinsky.PNG, kandinsky.WebP, kandinsky.JPEG} {
		result, err := client.Img2Img(t.Context(), kandinsky.Img2ImgRequest{
			Image: sketch(t), Prompt: "a red circle", Width: new(64), Height: new(64), Seed: new(uint64(3)),
			NumInferenceSteps: new(10), Strength: new(0.3), OutputFormat: format,
		})
		if err != nil {
			t.Fatal(err)
		}
		if decoded[format], err = result.Pictures[0].Decode(); err != nil {
			t.Fatalf("%s: %v", format, err)
		}
	}
	if size := decoded[kandinsky.JPEG].Bounds().Size(); size != image.Pt(64, 64) {
		t.Errorf("the JPEG is of %v", size)
	}
	for y := range 64 {
		for x := range 64 {
			if png, webp := rgb(decoded[kandinsky.PNG], x, y), rgb(decoded[kandinsky.WebP], x, y); png != webp {
				t.Fatalf("at (%d, %d) PNG has %v, WebP %v", x, y, png, webp)
			}
		}
	}
}

func TestAnImageOfPixelsIsSentAsItIs(t *testing.T) {
	client := connect(t, kandinsky.Config{})
	pixels := image.NewGray(image.Rect(0, 0, 40, 30))
	for i := range pixels.Pix {
		pixels.Pix[i] = uint8(i)
	}
	file, err := kandinsky.EncodePNG(pixels)
	if err != nil {
		t.Fatal(err)
	}
	result, err := client.Img2Img(t.Context(), kandinsky.Img2ImgRequest{
		Image: file, Width: new(64), Height: new(64), NumInferenceSteps: new(10), Strength: new(0.3),
	})
	if err != nil || len(result.Pictures) != 1 {
		t.Errorf("got %v, %v", result, err)
	}
}

func rgb(picture image.Image, x, y int) [3]uint32 {
	red, green, blue, _ := picture.At(x, y).RGBA()
	return [3]uint32{red, green, blue}
}
