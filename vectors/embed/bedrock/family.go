package bedrock

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/genaistore/genaistore/vectors/embed"
)

// A purpose is what a text is embedded for.
type purpose int

const (
	document purpose = iota
	question
)

// A family is models that share a format.
type family struct {
	name       string // as it is in the ids of its models, behind any prefix of a geography
	suffix     string // of the id of the vector space
	dimensions []int
	texts      int // of a call
	characters int // of a text, 0 if the model counts tokens instead
	encode     func(texts []string, why purpose, dimension int) any
	decode     func(answer []byte) ([][]float32, error)
}

func families() []family {
	return []family{
		{
			name: "amazon.titan-embed-text-v2", suffix: ":normalized", dimensions: []int{256, 512, 1024}, texts: 1,
			encode: encodeTitan, decode: decodeTitan,
		},
		{
			name: "cohere.embed-v4", dimensions: []int{256, 512, 1024, 1536}, texts: 96,
			encode: encodeCohere, decode: decodeCohere,
		},
		{
			name: "cohere.embed-english-v3", dimensions: []int{1024}, texts: 96, characters: 2048,
			encode: encodeCohereV3, decode: decodeCohere,
		},
		{
			name: "cohere.embed-multilingual-v3", dimensions: []int{1024}, texts: 96, characters: 2048,
			encode: encodeCohereV3, decode: decodeCohere,
		},
		{
			name: "amazon.nova-2-multimodal-embeddings-v1", dimensions: []int{256, 384, 1024, 3072}, texts: 1,
			encode: encodeNova, decode: decodeNova,
		},
	}
}

// familyOf finds the family of a model, and what names its vectors: the id from
// the family on, because a geography's prefix does not change them.
func familyOf(model, named string) (family, string, error) {
	var names []string
	for _, f := range families() {
		text := model
		if named != "" {
			text = named
		}
		if _, rest, ok := strings.Cut(text, f.name); ok {
			return f, f.name + rest + f.suffix, nil
		}
		names = append(names, f.name)
	}
	return family{}, "", fmt.Errorf("%w: its id names none of the families %s; for a profile of your own, Options.Family does", embed.ErrInvalid, strings.Join(names, ", "))
}

func (f family) checkDimension(dimension int) error {
	if !slices.Contains(f.dimensions, dimension) {
		return fmt.Errorf("%w: dimension %d: %s has %v", embed.ErrInvalid, dimension, f.name, f.dimensions)
	}
	return nil
}

func (f family) checkText(text string) error {
	if err := embed.CheckText(text); err != nil {
		return err
	}
	if n := utf8.RuneCountInString(text); f.characters > 0 && n > f.characters {
		return fmt.Errorf("%w: text of %d characters: %s takes %d", embed.ErrInvalid, n, f.name, f.characters)
	}
	return nil
}

// The format of Titan V2
// (https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html).
type titanRequest struct {
	InputText  string `json:"inputText"`
	Dimensions int    `json:"dimensions"`
	Normalize  bool   `json:"normalize"`
}

// Titan embeds questions as it does passages.
func encodeTitan(texts []string, _ purpose, dimension int) any {
	return titanRequest{InputText: texts[0], Dimensions: dimension, Normalize: true}
}

func decodeTitan(answer []byte) ([][]float32, error) {
	var response struct{ Embedding []float32 }
	err := json.Unmarshal(answer, &response)
	return [][]float32{response.Embedding}, err
}

// The format of Cohere Embed
// (https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed.html).
type cohereRequest struct {
	InputType       string   `json:"input_type"`
	Texts           []string `json:"texts"`
	EmbeddingTypes  []string `json:"embedding_types"`
	Truncate        string   `json:"truncate"`
	OutputDimension int      `json:"output_dimension,omitempty"` // from version 4 on
}

func encodeCohere(texts []string, why purpose, dimension int) any {
	r := cohereRequest{InputType: "search_document", Texts: texts, EmbeddingTypes: []string{"float"}, Truncate: "NONE", OutputDimension: dimension}
	if why == question {
		r.InputType = "search_query"
	}
	return r
}

func encodeCohereV3(texts []string, why purpose, _ int) any { return encodeCohere(texts, why, 0) }

// decodeCohere reads both forms: a list, and lists by type.
func decodeCohere(answer []byte) ([][]float32, error) {
	var response struct{ Embeddings json.RawMessage }
	if err := json.Unmarshal(answer, &response); err != nil {
		return nil, err
	}
	if bytes.HasPrefix(bytes.TrimSpace(response.Embeddings), []byte("[")) {
		var list [][]float32
		err := json.Unmarshal(response.Embeddings, &list)
		return list, err
	}
	var byType struct{ Float [][]float32 }
	err := json.Unmarshal(response.Embeddings, &byType)
	return byType.Float, err
}

// The format of Nova Multimodal Embeddings
// (https://docs.aws.amazon.com/nova/latest/userguide/embeddings-schema.html).
type novaRequest struct {
	SchemaVersion         string     `json:"schemaVersion"`
	TaskType              string     `json:"taskType"`
	SingleEmbeddingParams novaParams `json:"singleEmbeddingParams"`
}

type novaParams struct {
	EmbeddingPurpose   string   `json:"embeddingPurpose"`
	EmbeddingDimension int      `json:"embeddingDimension"`
	Text               novaText `json:"text"`
}

type novaText struct {
	TruncationMode string `json:"truncationMode"`
	Value          string `json:"value"`
}

func encodeNova(texts []string, why purpose, dimension int) any {
	params := novaParams{EmbeddingPurpose: "GENERIC_INDEX", EmbeddingDimension: dimension, Text: novaText{TruncationMode: "NONE", Value: texts[0]}}
	if why == question {
		params.EmbeddingPurpose = "TEXT_RETRIEVAL"
	}
	return novaRequest{SchemaVersion: "nova-multimodal-embed-v1", TaskType: "SINGLE_EMBEDDING", SingleEmbeddingParams: params}
}

func decodeNova(answer []byte) ([][]float32, error) {
	var response struct {
		Embeddings []struct{ Embedding []float32 }
	}
	err := json.Unmarshal(answer, &response)
	vectors := make([][]float32, len(response.Embeddings))
	for i, e := range response.Embeddings {
		vectors[i] = e.Embedding
	}
	return vectors, err
}
