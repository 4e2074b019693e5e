package bedrock

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/genaistore/genaistore/vectors/embed"
)

// A purpose is what an input is embedded for.
type purpose int

const (
	document purpose = iota
	question
)

// A request is what beside its inputs decides a call.
type request struct {
	why       purpose
	dimension int
	searched  Content
}

// A family is models that share a format.
type family struct {
	name       string // as it is in the ids of its models, behind any prefix of a geography
	suffix     string // of the id of the vector space
	dimensions []int
	texts      int // of a call
	images     int // of a call, 0 if it takes none
	together   bool
	characters int // of a text, 0 if the model counts tokens instead
	imageBytes int // of a file
	formats    []string
	// encode is given texts alone, images alone, or images that all have a text.
	encode func(inputs []embed.Input, r request) any
	decode func(answer []byte) ([][]float32, error)
}

func families() []family {
	few, all := []string{"png", "jpeg"}, []string{"png", "jpeg", "gif", "webp"}
	return []family{
		{
			name: "amazon.titan-embed-text-v2", suffix: ":normalized", dimensions: []int{256, 512, 1024}, texts: 1,
			encode: encodeTitan, decode: decodeTitan,
		},
		{
			name: "amazon.titan-embed-image-v1", dimensions: []int{256, 384, 1024}, texts: 1, images: 1, together: true, imageBytes: mostImageBytes, formats: all,
			encode: encodeTitanImage, decode: decodeTitan,
		},
		{
			name: "cohere.embed-v4", dimensions: []int{256, 512, 1024, 1536}, texts: 96, images: 96, together: true, imageBytes: mostImageBytes, formats: all,
			encode: encodeCohere, decode: decodeCohere,
		},
		{
			name: "cohere.embed-english-v3", dimensions: []int{1024}, texts: 96, images: 1, characters: 2048, imageBytes: 5_000_000, formats: few,
			encode: encodeCohereV3, decode: decodeCohere,
		},
		{
			name: "cohere.embed-multilingual-v3", dimensions: []int{1024}, texts: 96, images: 1, characters: 2048, imageBytes: 5_000_000, formats: few,
			encode: encodeCohereV3, decode: decodeCohere,
		},
		{
			name: "amazon.nova-2-multimodal-embeddings-v1", dimensions: []int{256, 384, 1024, 3072}, texts: 1, images: 1, imageBytes: mostImageBytes, formats: all,
			encode: encodeNova, decode: decodeNova,
		},
	}
}

// mostImageBytes is what images of a call may have together, which is 20 MB as
// base64: Bedrock takes no more than 25 MB.
const mostImageBytes = 15_000_000

// familyOf finds the family of a model, and what names its vectors: the id from
// the family on, because a geography's prefix does not change them.
func familyOf(model, named string) (family, string, error) {
	var names []string
	for _, f := range families() {
		text := model
		if named != "" {
			text = named
		}
		if rest, ok := f.namedIn(text); ok {
			return f, f.name + rest + f.suffix, nil
		}
		names = append(names, f.name)
	}
	return family{}, "", fmt.Errorf("%w: its id names none of the families %s; for a profile of your own, Options.Family does", embed.ErrInvalid, strings.Join(names, ", "))
}

// namedIn reports whether an id or ARN names the family, and returns what follows:
// nothing, or a version.
func (f family) namedIn(id string) (rest string, ok bool) {
	before, rest, ok := strings.Cut(id, f.name)
	whole := before == "" || strings.HasSuffix(before, ".") || strings.HasSuffix(before, "/")
	return rest, ok && whole && version.MatchString(rest)
}

var version = regexp.MustCompile(`^(:[0-9a-z]+)*$`)

func (f family) checkDimension(dimension int) error {
	if !slices.Contains(f.dimensions, dimension) {
		return fmt.Errorf("%w: dimension %d: %s has %v", embed.ErrInvalid, dimension, f.name, f.dimensions)
	}
	return nil
}

// check reports an error that matches [embed.ErrInvalid] unless the family takes the
// input, as far as that can be said without its tokenizer.
func (f family) check(input embed.Input) error {
	if err := embed.CheckInput(input); err != nil {
		return err
	}
	if n := utf8.RuneCountInString(input.Text); f.characters > 0 && n > f.characters {
		return fmt.Errorf("%w: text of %d characters: %s takes %d", embed.ErrInvalid, n, f.name, f.characters)
	}
	switch {
	case len(input.Image) == 0:
		return nil
	case f.images == 0:
		return fmt.Errorf("%w: an image: %s embeds text alone", embed.ErrInvalid, f.name)
	case input.Text != "" && !f.together:
		return fmt.Errorf("%w: an image with a text: %s takes one or the other", embed.ErrInvalid, f.name)
	case len(input.Image) > f.imageBytes:
		return fmt.Errorf("%w: an image of %d bytes: %d go to %s", embed.ErrInvalid, len(input.Image), f.imageBytes, f.name)
	}
	if format, err := embed.ImageFormat(input.Image); err != nil || !slices.Contains(f.formats, format) {
		return fmt.Errorf("%w: an image of format %s: %s takes %s", embed.ErrInvalid, format, f.name, strings.Join(f.formats, ", "))
	}
	return nil
}

// calls returns the places of the inputs of each call, as many as a call takes:
// texts, images, and images with a text apart, so that what an input is sent with
// does not decide how.
func (f family) calls(inputs []embed.Input) [][]int {
	var texts, images, both []int
	for i, input := range inputs {
		switch {
		case len(input.Image) == 0:
			texts = append(texts, i)
		case input.Text == "":
			images = append(images, i)
		default:
			both = append(both, i)
		}
	}
	calls := slices.Collect(slices.Chunk(texts, f.texts))
	return slices.Concat(calls, f.imageCalls(inputs, images), f.imageCalls(inputs, both))
}

// imageCalls packs images by number and by bytes.
func (f family) imageCalls(inputs []embed.Input, places []int) [][]int {
	var calls [][]int
	bytes := 0
	for _, i := range places {
		size := len(inputs[i].Image)
		if last := len(calls) - 1; last >= 0 && len(calls[last]) < f.images && bytes+size <= mostImageBytes {
			calls[last], bytes = append(calls[last], i), bytes+size
			continue
		}
		calls, bytes = append(calls, []int{i}), size
	}
	return calls
}
