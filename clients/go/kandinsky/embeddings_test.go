package kandinsky

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"

	imagegenv1 "github.com/kandinsky-serving/kandinsky-serving/clients/go/gen/imagegen/v1"
)

func TestEmbeddingsAreReadAsTheyWereMadeAndSaved(t *testing.T) {
	made, err := NewEmbeddings([][]float32{{1, -2}, {3.5, 0}}, [][]float32{{7, 8}}, "abc")
	if err != nil {
		t.Fatal(err)
	}
	data, err := made.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var read Embeddings
	if err := read.UnmarshalBinary(data); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(read.Image()[1], []float32{3.5, 0}) || read.Len() != 2 || read.PriorDigest() != "abc" {
		t.Errorf("got %v", read.Image())
	}
	if !slices.Equal(read.Negative()[0], []float32{7, 8}) {
		t.Errorf("got %v", read.Negative())
	}
}

func TestOtherFilesAreNotEmbeddings(t *testing.T) {
	made, err := NewEmbeddings([][]float32{{1, 2}}, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	made.message.ImageEmbeds.Data = made.message.ImageEmbeds.Data[:7]
	short, err := made.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	made.message.ImageEmbeds.Shape, made.message.ImageEmbeds.Data = []int64{-1, -2}, make([]byte, 8)
	negative, err := made.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range [][]byte{nil, []byte("not a message"), short, negative} {
		if new(Embeddings).UnmarshalBinary(data) == nil {
			t.Errorf("reads %q", data)
		}
	}
}

func TestVectorsOfOtherLengthsAreRefused(t *testing.T) {
	for _, vectors := range [][][]float32{nil, {{1, 2}, {3}}} {
		if _, err := NewEmbeddings(vectors, nil, ""); err == nil {
			t.Errorf("accepts %v", vectors)
		}
	}
}

func TestHalvesAreReadExactly(t *testing.T) {
	for bits, want := range map[uint16]float64{
		0x3c00: 1, 0xc000: -2, 0x3555: 0.333251953125, 0x7bff: 65504, 0x0001: math.Ldexp(1, -24), 0x8000: 0,
		0x0400: math.Ldexp(1, -14), 0x7c00: math.Inf(1), 0xfc00: math.Inf(-1),
	} {
		tensor := &imagegenv1.Tensor{
			Dtype: imagegenv1.DataType_DATA_TYPE_FLOAT16, Shape: []int64{1, 1},
			Data: binary.LittleEndian.AppendUint16(nil, bits),
		}
		if got := vectorsOf(tensor)[0][0]; float64(got) != want {
			t.Errorf("%#04x is %v, want %v", bits, got, want)
		}
	}
	if !math.IsNaN(float64(halfToFloat(0x7e00))) {
		t.Error("NaN is a number")
	}
}
