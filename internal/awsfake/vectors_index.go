package awsfake

import (
	"cmp"
	"maps"
	"net/http"
	"slices"

	"github.com/genaistore/genaistore/vectors"
)

type vectorIndex struct {
	description indexDescription
	bucket      *vectorBucket
	schema      vectors.Schema
	tags        map[string]string
	records     map[string]*record
	order       []*record // by position, nil if it is not known
}

type indexDescription struct {
	VectorBucketName        string                 `json:"vectorBucketName"`
	IndexName               string                 `json:"indexName"`
	IndexArn                string                 `json:"indexArn"`
	DataType                string                 `json:"dataType"`
	Dimension               int                    `json:"dimension"`
	DistanceMetric          string                 `json:"distanceMetric"`
	MetadataConfiguration   *metadataConfiguration `json:"metadataConfiguration,omitempty"`
	CreationTime            float64                `json:"creationTime"`
	EncryptionConfiguration *encryption            `json:"encryptionConfiguration,omitempty"`
	IndexMode               string                 `json:"indexMode"`
}

type metadataConfiguration struct {
	NonFilterableMetadataKeys []string `json:"nonFilterableMetadataKeys"`
}

func (c *metadataConfiguration) validate() error {
	if c == nil {
		return nil
	}
	const member = "metadataConfiguration/nonFilterableMetadataKeys"
	if n := len(c.NonFilterableMetadataKeys); n < 1 || n > vectors.MaxNonFilterable {
		return unmet(member, "have length between 1 and 10, inclusive")
	}
	for i, key := range c.NonFilterableMetadataKeys {
		if err := checkLength(member, key, 1); err != nil {
			return err
		}
		if slices.Contains(c.NonFilterableMetadataKeys[:i], key) {
			return unmet(member, "have unique elements")
		}
	}
	return nil
}

func (f *Vectors) createIndex(r *http.Request) (any, error) {
	var in struct {
		bucketAddress
		IndexName, DataType, DistanceMetric string
		Dimension                           *int
		MetadataConfiguration               *metadataConfiguration
		EncryptionConfiguration             *encryption
		Tags                                map[string]string
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	if in.Dimension == nil {
		return nil, unmet("dimension", "not be null")
	}
	if err := cmp.Or(
		checkLength("indexName", in.IndexName, 3),
		checkEnum("dataType", in.DataType, "float32"),
		checkRange("dimension", in.Dimension, 1, vectors.MaxDimension),
		checkEnum("distanceMetric", in.DistanceMetric, "euclidean", "cosine"),
		in.MetadataConfiguration.validate(), in.EncryptionConfiguration.validate(), checkTags(in.Tags),
	); err != nil {
		return nil, err
	}
	if !vectorIndexName.MatchString(in.IndexName) {
		return nil, invalid("Invalid index name")
	}
	bucket, err := f.bucket(in.bucketAddress)
	if err != nil {
		return nil, err
	}
	if _, ok := bucket.indexes[in.IndexName]; ok {
		return nil, conflict("An index with the specified name already exists")
	}
	name := bucket.description.VectorBucketName
	x := &vectorIndex{
		description: indexDescription{
			VectorBucketName: name, IndexName: in.IndexName, IndexArn: arn(name, in.IndexName), DataType: in.DataType,
			Dimension: *in.Dimension, DistanceMetric: in.DistanceMetric, MetadataConfiguration: in.MetadataConfiguration, CreationTime: now(),
			EncryptionConfiguration: cmp.Or(in.EncryptionConfiguration, bucket.description.EncryptionConfiguration), IndexMode: bucket.defaultMode,
		},
		bucket: bucket, tags: in.Tags, records: map[string]*record{},
		schema: vectors.Schema{Dimension: *in.Dimension, Metric: vectors.Metric(in.DistanceMetric)},
	}
	if in.MetadataConfiguration != nil {
		x.schema.NonFilterable = in.MetadataConfiguration.NonFilterableMetadataKeys
	}
	bucket.indexes[in.IndexName] = x
	return map[string]string{"indexArn": x.description.IndexArn}, nil
}

// indexOf decodes a request that only names an index.
func (f *Vectors) indexOf(r *http.Request) (*vectorIndex, error) {
	var in address
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	return f.index(in)
}

func (f *Vectors) getIndex(r *http.Request) (any, error) {
	found, err := f.indexOf(r)
	if err != nil {
		return nil, err
	}
	return map[string]any{"index": found.description}, nil
}

func (f *Vectors) listIndexes(r *http.Request) (any, error) {
	var in struct {
		bucketAddress
		page
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	bucket, err := f.bucket(in.bucketAddress)
	if err != nil {
		return nil, err
	}
	names, next, err := in.names(slices.Collect(maps.Keys(bucket.indexes)))
	if err != nil {
		return nil, err
	}
	found := []map[string]any{}
	for _, name := range names {
		d := bucket.indexes[name].description
		found = append(found, map[string]any{"vectorBucketName": d.VectorBucketName, "indexName": d.IndexName, "indexArn": d.IndexArn, "creationTime": d.CreationTime})
	}
	return withToken(map[string]any{"indexes": found}, next), nil
}

func (f *Vectors) deleteIndex(r *http.Request) (any, error) {
	found, err := f.indexOf(r)
	if err != nil {
		return nil, err
	}
	delete(found.bucket.indexes, found.description.IndexName)
	return map[string]any{}, nil
}

func (f *Vectors) updateMode(r *http.Request) (any, error) {
	var in struct {
		address
		IndexMode string
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	found, err := f.index(in.address)
	if err != nil {
		return nil, err
	}
	if err := checkEnum("indexMode", in.IndexMode, classicMode, enhancedMode); err != nil {
		return nil, err
	}
	if in.IndexMode == classicMode && !found.bucket.classic {
		return nil, invalid("indexMode cannot be set to CLASSIC because the vector bucket does not support CLASSIC mode")
	}
	found.description.IndexMode = in.IndexMode
	return map[string]any{}, nil
}
