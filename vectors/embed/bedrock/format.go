package bedrock

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"

	"github.com/genaistore/genaistore/vectors/embed"
)

// The format of Titan V2
// (https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html).
type titanRequest struct {
	InputText  string `json:"inputText"`
	Dimensions int    `json:"dimensions"`
	Normalize  bool   `json:"normalize"`
}

// Titan embeds questions as it does passages.
func encodeTitan(inputs []embed.Input, r request) any {
	return titanRequest{InputText: inputs[0].Text, Dimensions: r.dimension, Normalize: true}
}

// The format of Titan Multimodal G1
// (https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-mm.html).
type titanImageRequest struct {
	InputText       string           `json:"inputText,omitempty"`
	InputImage      []byte           `json:"inputImage,omitempty"`
	EmbeddingConfig titanImageConfig `json:"embeddingConfig"`
}

type titanImageConfig struct {
	OutputEmbeddingLength int `json:"outputEmbeddingLength"`
}

func encodeTitanImage(inputs []embed.Input, r request) any {
	return titanImageRequest{inputs[0].Text, inputs[0].Image, titanImageConfig{r.dimension}}
}

func decodeTitan(answer []byte) ([][]float32, error) {
	var response struct {
		Embedding []float32
		Message   string // in the place of an embedding
	}
	err := json.Unmarshal(answer, &response)
	if err == nil && len(response.Embedding) == 0 && response.Message != "" {
		err = errors.New("the model says: " + response.Message)
	}
	return [][]float32{response.Embedding}, err
}

// The format of Cohere Embed
// (https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed.html).
type cohereRequest struct {
	InputType       string        `json:"input_type"`
	Texts           []string      `json:"texts,omitempty"`
	Images          []string      `json:"images,omitempty"`
	Inputs          []cohereInput `json:"inputs,omitempty"` // from version 4 on
	EmbeddingTypes  []string      `json:"embedding_types"`
	Truncate        string        `json:"truncate,omitempty"`
	OutputDimension int           `json:"output_dimension,omitempty"` // from version 4 on
}

type cohereInput struct {
	Content []cohereContent `json:"content"`
}

type cohereContent struct {
	Type     string `json:"type"`
	Text     string `json:"text,omitempty"`
	ImageURL string `json:"image_url,omitempty"`
}

func encodeCohere(inputs []embed.Input, r request) any {
	out := cohereRequest{InputType: "search_document", EmbeddingTypes: []string{"float"}, Truncate: "NONE", OutputDimension: r.dimension}
	if r.why == question {
		out.InputType = "search_query"
	}
	for _, input := range inputs {
		switch {
		case len(input.Image) == 0:
			out.Texts = append(out.Texts, input.Text)
		case input.Text == "":
			out.Images = append(out.Images, dataURI(input.Image))
		default:
			out.Inputs = append(out.Inputs, cohereInput{[]cohereContent{{Type: "text", Text: input.Text}, {Type: "image_url", ImageURL: dataURI(input.Image)}}})
		}
	}
	return out
}

// Version 3 is told of an image that it is one, and not what it is for.
func encodeCohereV3(inputs []embed.Input, r request) any {
	if image := inputs[0].Image; len(image) > 0 {
		return cohereRequest{InputType: "image", Images: []string{dataURI(image)}, EmbeddingTypes: []string{"float"}}
	}
	r.dimension = 0
	return encodeCohere(inputs, r)
}

func dataURI(image []byte) string {
	format, err := embed.ImageFormat(image)
	if err != nil {
		format = "png" // which no image is that was checked
	}
	return "data:image/" + format + ";base64," + base64.StdEncoding.EncodeToString(image)
}

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
	EmbeddingPurpose   string     `json:"embeddingPurpose"`
	EmbeddingDimension int        `json:"embeddingDimension"`
	Text               *novaText  `json:"text,omitempty"`
	Image              *novaImage `json:"image,omitempty"`
}

type novaText struct {
	TruncationMode string `json:"truncationMode"`
	Value          string `json:"value"`
}

type novaImage struct {
	Format      string     `json:"format"`
	DetailLevel string     `json:"detailLevel"`
	Source      novaSource `json:"source"`
}

type novaSource struct {
	Bytes []byte `json:"bytes"`
}

func encodeNova(inputs []embed.Input, r request) any {
	params := novaParams{EmbeddingPurpose: "GENERIC_INDEX", EmbeddingDimension: r.dimension}
	if r.why == question {
		params.EmbeddingPurpose = string(r.searched) + "_RETRIEVAL"
	}
	if image := inputs[0].Image; len(image) > 0 {
		format, err := embed.ImageFormat(image)
		if err != nil {
			format = "png" // which no image is that was checked
		}
		params.Image = &novaImage{format, "STANDARD_IMAGE", novaSource{image}}
	} else {
		params.Text = &novaText{TruncationMode: "NONE", Value: inputs[0].Text}
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
