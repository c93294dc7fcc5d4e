package kandinsky

import (
	"bytes"
	"image"
	_ "image/jpeg" // registers the format for Picture.Decode
	"image/png"

	_ "golang.org/x/image/webp" // registers the format for Picture.Decode

	imagegenv1 "github.com/kandinsky-serving/kandinsky-serving/clients/go/gen/imagegen/v1"
)

// Picture is a picture as the file that the server made.
type Picture struct {
	// Data is the file: os.WriteFile("out.png", picture.Data, 0o644) saves it.
	Data   []byte
	Format ImageFormat
	// Width and Height in pixels.
	Width, Height int
}

// Decode returns the picture's pixels.
func (p Picture) Decode() (image.Image, error) {
	decoded, _, err := image.Decode(bytes.NewReader(p.Data))
	return decoded, err
}

// EncodePNG turns pixels into a file for Img2ImgRequest.Image. Nothing is
// lost, and nothing need be resized: the server does that, so that every
// client gets the same result.
func EncodePNG(pixels image.Image) ([]byte, error) {
	var file bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestSpeed} // a data centre is faster than zlib
	err := encoder.Encode(&file, pixels)
	return file.Bytes(), err
}

func pictureOf(message *imagegenv1.EncodedImage) Picture {
	return Picture{
		Data:   message.GetData(),
		Format: ImageFormat(enumName(message.GetFormat())),
		Width:  int(message.GetWidth()),
		Height: int(message.GetHeight()),
	}
}
