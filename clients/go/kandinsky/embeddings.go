package kandinsky

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/proto"

	imagegenv1 "github.com/kandinsky-serving/kandinsky-serving/clients/go/gen/imagegen/v1"
)

// Embeddings are what the prior made of a prompt or a mix: n vectors, and what
// guidance steers away from. They never change.
type Embeddings struct {
	message *imagegenv1.ImageEmbeddings
}

// NewEmbeddings makes embeddings of vectors from elsewhere, all of one length.
// Negative may be nil where requests run without guidance; priorDigest may be
// empty.
func NewEmbeddings(image, negative [][]float32, priorDigest string) (*Embeddings, error) {
	message := &imagegenv1.ImageEmbeddings{PriorDigest: priorDigest}
	var err error
	if message.ImageEmbeds, err = tensorOf(image); err != nil {
		return nil, err
	}
	if negative != nil {
		if message.NegativeImageEmbeds, err = tensorOf(negative); err != nil {
			return nil, err
		}
	}
	return &Embeddings{message}, nil
}

// Image returns the n vectors.
func (e *Embeddings) Image() [][]float32 {
	return vectorsOf(e.message.GetImageEmbeds())
}

// Negative returns what guidance steers away from: n vectors, one, or none.
func (e *Embeddings) Negative() [][]float32 {
	return vectorsOf(e.message.GetNegativeImageEmbeds())
}

// PriorDigest identifies the prior that made them; empty where it is unknown.
func (e *Embeddings) PriorDigest() string {
	return e.message.GetPriorDigest()
}

// Len is how many vectors there are.
func (e *Embeddings) Len() int {
	rows, _ := shapeOf(e.message.GetImageEmbeds())
	return rows
}

// MarshalBinary returns a serialized imagegen.v1.ImageEmbeddings: the file
// format of the Python client and of the kandinsky command, too.
func (e *Embeddings) MarshalBinary() ([]byte, error) {
	return proto.Marshal(e.message)
}

// UnmarshalBinary reads what MarshalBinary gave.
func (e *Embeddings) UnmarshalBinary(data []byte) error {
	message := &imagegenv1.ImageEmbeddings{}
	if err := proto.Unmarshal(data, message); err != nil {
		return errors.New("kandinsky: not saved embeddings")
	}
	rows, columns := shapeOf(message.GetImageEmbeds())
	if rows*columns == 0 || rows*columns*elementBytes(message.GetImageEmbeds()) != len(message.GetImageEmbeds().GetData()) {
		return errors.New("kandinsky: not saved embeddings, or cut short")
	}
	e.message = message
	return nil
}

func tensorOf(vectors [][]float32) (*imagegenv1.Tensor, error) {
	if len(vectors) == 0 {
		return nil, errors.New("kandinsky: embeddings need one vector or more")
	}
	columns := len(vectors[0])
	data := make([]byte, 0, 4*len(vectors)*columns)
	for i, vector := range vectors {
		if len(vector) != columns {
			return nil, fmt.Errorf("kandinsky: vector %d has length %d, the first one has %d", i, len(vector), columns)
		}
		for _, value := range vector {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(value))
		}
	}
	return &imagegenv1.Tensor{
		Dtype: imagegenv1.DataType_DATA_TYPE_FLOAT32, Shape: []int64{int64(len(vectors)), int64(columns)}, Data: data,
	}, nil
}

func vectorsOf(tensor *imagegenv1.Tensor) [][]float32 {
	rows, columns := shapeOf(tensor)
	vectors := make([][]float32, rows)
	for i := range vectors {
		vectors[i] = make([]float32, columns)
		for j := range vectors[i] {
			vectors[i][j] = element(tensor, i*columns+j)
		}
	}
	return vectors
}

func shapeOf(tensor *imagegenv1.Tensor) (rows, columns int) {
	shape := tensor.GetShape()
	if len(shape) != 2 || shape[0] < 0 || shape[1] < 0 {
		return 0, 0
	}
	return int(shape[0]), int(shape[1])
}

func elementBytes(tensor *imagegenv1.Tensor) int {
	switch tensor.GetDtype() {
	case imagegenv1.DataType_DATA_TYPE_FLOAT32:
		return 4
	case imagegenv1.DataType_DATA_TYPE_FLOAT16:
		return 2
	default:
		return 0
	}
}

// element is a number of a tensor of floats.
func element(tensor *imagegenv1.Tensor, index int) float32 {
	if tensor.GetDtype() == imagegenv1.DataType_DATA_TYPE_FLOAT16 {
		return halfToFloat(binary.LittleEndian.Uint16(tensor.GetData()[2*index:]))
	}
	return math.Float32frombits(binary.LittleEndian.Uint32(tensor.GetData()[4*index:]))
}

// halfToFloat converts IEEE 754 binary16.
func halfToFloat(bits uint16) float32 {
	sign := float32(1 - 2*int(bits>>15))
	exponent, fraction := int(bits>>10)&0x1f, float64(bits&0x3ff)
	switch exponent {
	case 0:
		return sign * float32(math.Ldexp(fraction, -24))
	case 0x1f:
		if fraction != 0 {
			return float32(math.NaN())
		}
		return sign * float32(math.Inf(1))
	default:
		return sign * float32(math.Ldexp(1024+fraction, exponent-25))
	}
}
