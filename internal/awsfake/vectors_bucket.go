package awsfake

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

type vectorBucket struct {
	description bucketDescription
	classic     bool // knows the CLASSIC mode
	defaultMode string
	policy      string
	tags        map[string]string
	indexes     map[string]*vectorIndex
}

type bucketDescription struct {
	VectorBucketName        string      `json:"vectorBucketName"`
	VectorBucketArn         string      `json:"vectorBucketArn"`
	CreationTime            float64     `json:"creationTime"`
	EncryptionConfiguration *encryption `json:"encryptionConfiguration,omitempty"`
	DefaultIndexMode        string      `json:"defaultIndexMode,omitempty"`
}

type encryption struct {
	SseType   string `json:"sseType"`
	KmsKeyArn string `json:"kmsKeyArn,omitempty"`
}

// The index modes.
const (
	classicMode  = "CLASSIC"
	enhancedMode = "ENHANCED"
)

func (e *encryption) validate() error {
	if e == nil {
		return nil
	}
	if err := checkEnum("encryptionConfiguration/sseType", e.SseType, "AES256", "aws:kms"); err != nil {
		return err
	}
	if (e.SseType == "aws:kms") != (e.KmsKeyArn != "") {
		return invalid("kmsKeyArn must be specified if and only if sseType is aws:kms")
	}
	if e.KmsKeyArn != "" && !kmsKeyARN.MatchString(e.KmsKeyArn) {
		return unmet("encryptionConfiguration/kmsKeyArn", "satisfy regular expression pattern: "+kmsKeyARN.String())
	}
	return nil
}

func (f *Vectors) createBucket(r *http.Request) (any, error) {
	var in struct {
		VectorBucketName        string
		EncryptionConfiguration *encryption
		Tags                    map[string]string
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	if err := cmp.Or(checkLength("vectorBucketName", in.VectorBucketName, 3), in.EncryptionConfiguration.validate(), checkTags(in.Tags)); err != nil {
		return nil, err
	}
	if !vectorBucketName.MatchString(in.VectorBucketName) {
		return nil, invalid("Invalid vector bucket name")
	}
	if _, ok := f.buckets[in.VectorBucketName]; ok {
		return nil, conflict("A vector bucket with the specified name already exists")
	}
	mode := enhancedMode
	if f.Options.Classic {
		mode = classicMode
	}
	f.buckets[in.VectorBucketName] = &vectorBucket{
		description: bucketDescription{
			VectorBucketName: in.VectorBucketName, VectorBucketArn: arn(in.VectorBucketName, ""), CreationTime: now(),
			EncryptionConfiguration: cmp.Or(in.EncryptionConfiguration, &encryption{SseType: "AES256"}),
		},
		classic: f.Options.Classic, defaultMode: mode, tags: in.Tags, indexes: map[string]*vectorIndex{},
	}
	return map[string]string{"vectorBucketArn": arn(in.VectorBucketName, "")}, nil
}

func (f *Vectors) getBucket(r *http.Request) (any, error) {
	found, err := f.bucketOf(r)
	if err != nil {
		return nil, err
	}
	description := found.description
	description.DefaultIndexMode = found.defaultMode
	return map[string]any{"vectorBucket": description}, nil
}

// bucketOf decodes a request that only names a bucket.
func (f *Vectors) bucketOf(r *http.Request) (*vectorBucket, error) {
	var in bucketAddress
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	return f.bucket(in)
}

// A page asks for some of a list that is sorted by name.
type page struct {
	MaxResults        *int
	NextToken, Prefix string
}

// names returns a page of names and the token of the next.
func (p page) names(all []string) (names []string, next string, err error) {
	if err := checkRange("maxResults", p.MaxResults, 1, 500); err != nil {
		return nil, "", err
	}
	if p.Prefix != "" {
		if err := checkLength("prefix", p.Prefix, 1); err != nil {
			return nil, "", err
		}
	}
	if p.NextToken != "" && !strings.HasPrefix(p.NextToken, "after-") {
		return nil, "", invalid("Invalid nextToken")
	}
	after := strings.TrimPrefix(p.NextToken, "after-")
	slices.Sort(all)
	for _, name := range all {
		if !strings.HasPrefix(name, p.Prefix) || name <= after {
			continue
		}
		if limit := 500; len(names) == min(limit, *cmp.Or(p.MaxResults, &limit)) {
			return names, "after-" + names[len(names)-1], nil
		}
		names = append(names, name)
	}
	return names, "", nil
}

func (f *Vectors) listBuckets(r *http.Request) (any, error) {
	var in page
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	names, next, err := in.names(slices.Collect(maps.Keys(f.buckets)))
	if err != nil {
		return nil, err
	}
	found := []bucketDescription{}
	for _, name := range names {
		summary := f.buckets[name].description
		summary.EncryptionConfiguration = nil
		found = append(found, summary)
	}
	return withToken(map[string]any{"vectorBuckets": found}, next), nil
}

func withToken(answer map[string]any, next string) map[string]any {
	if next != "" {
		answer["nextToken"] = next
	}
	return answer
}

func (f *Vectors) deleteBucket(r *http.Request) (any, error) {
	found, err := f.bucketOf(r)
	if err != nil {
		return nil, err
	}
	if len(found.indexes) > 0 {
		return nil, conflict("The specified vector bucket is not empty")
	}
	delete(f.buckets, found.description.VectorBucketName)
	return map[string]any{}, nil
}

func (f *Vectors) putPolicy(r *http.Request) (any, error) {
	var in struct {
		bucketAddress
		Policy string
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	found, err := f.bucket(in.bucketAddress)
	if err != nil {
		return nil, err
	}
	if !json.Valid([]byte(in.Policy)) {
		return nil, invalid("The policy is not valid JSON")
	}
	found.policy = in.Policy
	return map[string]any{}, nil
}

func (f *Vectors) getPolicy(r *http.Request) (any, error) {
	found, err := f.bucketOf(r)
	if err != nil {
		return nil, err
	}
	if found.policy == "" {
		return nil, absent("vector bucket policy")
	}
	return map[string]string{"policy": found.policy}, nil
}

func (f *Vectors) deletePolicy(r *http.Request) (any, error) {
	found, err := f.bucketOf(r)
	if err != nil {
		return nil, err
	}
	found.policy = ""
	return map[string]any{}, nil
}

func (f *Vectors) putDefaultMode(r *http.Request) (any, error) {
	var in struct {
		bucketAddress
		DefaultIndexMode string
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	found, err := f.bucket(in.bucketAddress)
	if err != nil {
		return nil, err
	}
	if err := checkEnum("defaultIndexMode", in.DefaultIndexMode, classicMode, enhancedMode); err != nil {
		return nil, err
	}
	if in.DefaultIndexMode == classicMode && !found.classic {
		return nil, invalid("defaultIndexMode cannot be set to CLASSIC because this vector bucket does not support CLASSIC mode")
	}
	found.defaultMode = in.DefaultIndexMode
	return map[string]any{}, nil
}

// tags answers the three operations on the tags of a resource.
func (f *Vectors) tags(r *http.Request, resource string) (any, error) {
	tags, err := f.tagged(resource)
	if err != nil {
		return nil, err
	}
	switch r.Method {
	case http.MethodGet:
		return map[string]any{"tags": *tags}, nil
	case http.MethodDelete:
		for _, key := range r.URL.Query()["tagKeys"] {
			delete(*tags, key)
		}
		return map[string]any{}, nil
	}
	var in struct{ Tags map[string]string }
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	all := map[string]string{}
	maps.Copy(all, *tags)
	maps.Copy(all, in.Tags)
	if err := checkTags(all); err != nil {
		return nil, err
	}
	*tags = all
	return map[string]any{}, nil
}

func (f *Vectors) tagged(resource string) (*map[string]string, error) {
	if strings.Contains(resource, "/index/") {
		found, err := f.index(address{IndexArn: resource})
		if err != nil {
			return nil, err
		}
		return &found.tags, nil
	}
	found, err := f.bucket(bucketAddress{VectorBucketArn: resource})
	if err != nil {
		return nil, err
	}
	return &found.tags, nil
}

func checkTags(tags map[string]string) error {
	if len(tags) > 50 {
		return invalid("A resource has at most 50 tags")
	}
	bad := func(r rune) bool {
		return !unicode.In(r, unicode.L, unicode.Z, unicode.N) && !strings.ContainsRune("_.:/=+-@", r)
	}
	for key, value := range tags {
		if n := utf8.RuneCountInString(key); n < 1 || n > 128 || utf8.RuneCountInString(value) > 256 || strings.ContainsFunc(key+value, bad) {
			return invalid("Invalid tag %q", key)
		}
		if strings.HasPrefix(strings.ToLower(key), "aws:") {
			return invalid("Tag keys must not begin with aws:")
		}
	}
	return nil
}
