package s3index

import (
	"encoding/json"

	"github.com/genaistore/genaistore/vectors"
)

// A number is how a float32 is written: [appendFloat] or [appendNine].
type number func(out []byte, x float32) []byte

// appendRecord appends v, which is normal, as PutVectors takes it.
func appendRecord(out []byte, v vectors.Vector, n number) []byte {
	out = append(out, `{"key":`...)
	out = vectors.AppendValue(out, v.Key)
	out = append(out, `,"data":{"float32":`...)
	out = appendFloats(out, v.Data, n)
	out = append(out, '}')
	if len(v.Metadata) > 0 {
		out = append(out, `,"metadata":`...)
		out = v.Metadata.AppendJSON(out)
	}
	return append(out, '}')
}

func appendFloats(out []byte, data []float32, n number) []byte {
	out = append(out, '[')
	for i, x := range data {
		if i > 0 {
			out = append(out, ',')
		}
		out = n(out, x)
	}
	return append(out, ']')
}

// A request is the body of a request other than PutVectors.
type request struct {
	IndexName        string          `json:"indexName,omitempty"`
	VectorBucketName string          `json:"vectorBucketName"`
	Keys             []string        `json:"keys,omitempty"`
	QueryVector      *queryVector    `json:"queryVector,omitempty"`
	TopK             int             `json:"topK,omitempty"`
	Filter           json.RawMessage `json:"filter,omitempty"`
	QueryMode        Mode            `json:"queryMode,omitempty"`
	MaxResults       int             `json:"maxResults,omitempty"`
	NextToken        string          `json:"nextToken,omitempty"`
	SegmentCount     int             `json:"segmentCount,omitempty"`
	SegmentIndex     *int            `json:"segmentIndex,omitempty"` // of which the client leaves out 0
	ReturnData       bool            `json:"returnData,omitempty"`
	ReturnMetadata   bool            `json:"returnMetadata,omitempty"`
	ReturnDistance   bool            `json:"returnDistance,omitempty"`
	IndexMode        Mode            `json:"indexMode,omitempty"`
	DefaultIndexMode Mode            `json:"defaultIndexMode,omitempty"`
}

type queryVector struct {
	Float32 json.RawMessage `json:"float32"`
}

func (x *Index) request() request { return request{IndexName: x.name, VectorBucketName: x.bucket} }

// encode returns r as JSON. A request has nothing that JSON has not.
func (r request) encode() ([]byte, error) { return json.Marshal(r) }
