package embed

import (
	"bytes"
	"context"
	"fmt"
)

// A Multimodal embeds images too, into the space of its texts: a question in words
// finds a picture, and the other way round.
type Multimodal interface {
	Embedder

	// Inputs embeds what will be stored, as Documents does texts: a vector for each
	// input, in their order, or an error that names the position of what was
	// refused. An input of text alone has the vector that Documents gives it.
	Inputs(ctx context.Context, inputs []Input) ([][]float32, error)

	// QueryInput embeds what will be searched with.
	QueryInput(ctx context.Context, input Input) ([]float32, error)
}

// An Input is embedded as one: a text, an image, or an image with a text that
// belongs to it, which some models take.
type Input struct {
	Text  string
	Image []byte // the file: PNG, JPEG, GIF or WebP
}

// CheckInput reports an error that matches [ErrInvalid] unless the input has a text
// that [CheckText] accepts, an image in a known format, or both.
func CheckInput(input Input) error {
	if input.Text != "" || len(input.Image) == 0 {
		if err := CheckText(input.Text); err != nil {
			return err
		}
	}
	if len(input.Image) == 0 {
		return nil
	}
	_, err := ImageFormat(input.Image)
	return err
}

// ImageFormat returns the format of an image, by how the file begins: png, jpeg, gif
// or webp. Others are [ErrInvalid].
func ImageFormat(image []byte) (string, error) {
	switch {
	case bytes.HasPrefix(image, []byte("\x89PNG\r\n\x1a\n")):
		return "png", nil
	case bytes.HasPrefix(image, []byte("\xff\xd8\xff")):
		return "jpeg", nil
	case bytes.HasPrefix(image, []byte("GIF87a")), bytes.HasPrefix(image, []byte("GIF89a")):
		return "gif", nil
	case len(image) >= 12 && string(image[:4]) == "RIFF" && string(image[8:12]) == "WEBP":
		return "webp", nil
	}
	return "", fmt.Errorf("%w: image begins with %.12q, want a file of PNG, JPEG, GIF or WebP", ErrInvalid, image[:min(12, len(image))])
}
