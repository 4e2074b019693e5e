package awsfake

import (
	"encoding/base64"
	"encoding/xml"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const copySource = "X-Amz-Copy-Source"

// maxCopy is how large an object CopyObject takes, and how large a part may be.
const maxCopy = 5 << 30

// copyOperation tells the copy of an object from that of a part.
func copyOperation(r *http.Request) string {
	_, key := split(r)
	switch {
	case r.Method != http.MethodPut || key == "":
		return ""
	case r.URL.Query().Has("uploadId"):
		return "UploadPartCopy"
	}
	return "CopyObject"
}

// source finds the object that is to be copied.
func (f *S3) source(w http.ResponseWriter, r *http.Request) (*object, error) {
	path, query, _ := strings.Cut(r.Header.Get(copySource), "?")
	path, err := url.PathUnescape(strings.TrimPrefix(path, "/"))
	name, key, found := strings.Cut(path, "/")
	asked, qerr := url.ParseQuery(query)
	if err != nil || qerr != nil || !found || key == "" {
		return nil, &failure{http.StatusBadRequest, "InvalidArgument", "Copy Source must mention the source bucket and key: sourcebucket/sourcekey"}
	}
	b := f.buckets[name]
	if b == nil {
		return nil, &failure{http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist"}
	}
	from := r.Clone(r.Context())
	from.URL.RawQuery = url.Values{"versionId": asked["versionId"]}.Encode()
	o, err := f.find(w, from, b, key)
	if err != nil {
		return nil, err
	}
	if err := f.readable(o); err != nil {
		return nil, err
	}
	if match := r.Header.Get(copySource + "-If-Match"); match != "" && strings.Trim(match, `"`) != strings.Trim(o.etag, `"`) {
		return nil, &failure{http.StatusPreconditionFailed, "PreconditionFailed", "the source is another object by now"}
	}
	if b.versioning != "" {
		w.Header().Set(copySource+"-Version-Id", o.version)
	}
	return o, nil
}

// plain returns r without what only a copy has in its header.
func plain(r *http.Request) *http.Request {
	out := r.Clone(r.Context())
	for name := range r.Header {
		if strings.HasPrefix(name, copySource) || name == "X-Amz-Metadata-Directive" || name == "X-Amz-Tagging-Directive" || name == "X-Amz-Checksum-Algorithm" {
			out.Header.Del(name)
		}
	}
	return out
}

// copyObject makes an object of another one. Its header is that of the source,
// unless the request replaces it.
func (f *S3) copyObject(w http.ResponseWriter, r *http.Request, b *bucket, key string) error {
	from, err := f.source(w, r)
	if err != nil {
		return err
	}
	if len(from.data) > maxCopy {
		return &failure{http.StatusBadRequest, "InvalidRequest", "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120"}
	}
	if err := f.meets(r, b.current(key)); err != nil {
		return err
	}
	header, err := headers(plain(r))
	if err != nil {
		return err
	}
	if r.Header.Get("X-Amz-Metadata-Directive") != "REPLACE" {
		header = from.header.Clone()
	}
	sums := from.sums
	if algorithm := r.Header.Get("X-Amz-Checksum-Algorithm"); algorithm != "" {
		name := http.CanonicalHeaderKey(checksumName + algorithm)
		if checksums[name] == nil {
			return &failure{http.StatusNotImplemented, "NotImplemented", "the fake does not know " + algorithm}
		}
		sums = map[string]string{name: base64.StdEncoding.EncodeToString(checksums[name](from.data))}
	}
	class, tags, err := placed(r, f.directory(b))
	if err != nil {
		return err
	}
	if r.Header.Get("X-Amz-Tagging-Directive") != "REPLACE" && !f.directory(b) {
		tags = maps.Clone(from.tags)
	}
	o := &object{data: from.data, etag: f.etag(b, from.data), modified: f.now(), header: header, sums: sums, class: class, tags: tags}
	f.add(b, key, o)
	b.describe(w, o)
	w.Header().Del("Etag")
	return answerXML(w, struct {
		XMLName        xml.Name `xml:"CopyObjectResult"`
		ETag           string
		LastModified   time.Time
		ChecksumCRC32C string `xml:",omitempty"`
	}{ETag: o.etag, LastModified: o.modified, ChecksumCRC32C: sums["X-Amz-Checksum-Crc32c"]})
}

// copyPart makes a part of an upload of a range of an object.
func (f *S3) copyPart(w http.ResponseWriter, r *http.Request, b *bucket, key string) error {
	up := b.uploads[r.URL.Query().Get("uploadId")]
	if up == nil || up.key != key {
		return noSuchUpload()
	}
	number, err := strconv.Atoi(r.URL.Query().Get("partNumber"))
	if err != nil || number < 1 || number > maxParts {
		return &failure{http.StatusBadRequest, "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive"}
	}
	from, err := f.source(w, r)
	if err != nil {
		return err
	}
	data := from.data
	if asked := r.Header.Get(copySource + "-Range"); asked != "" {
		first, last, ok := byteRange(asked, len(data))
		if !ok {
			return &failure{http.StatusBadRequest, "InvalidArgument", "Range specified is not valid for source object of size: " + strconv.Itoa(len(data))}
		}
		data = data[first : last+1]
	}
	p := part{data, f.etag(b, data), f.now()}
	up.parts[number] = p
	sum := ""
	if up.algorithm == "X-Amz-Checksum-Crc32c" {
		sum = base64.StdEncoding.EncodeToString(checksums[up.algorithm](data))
	}
	return answerXML(w, struct {
		XMLName        xml.Name `xml:"CopyPartResult"`
		ETag           string
		LastModified   time.Time
		ChecksumCRC32C string `xml:",omitempty"`
	}{ETag: p.etag, LastModified: p.modified, ChecksumCRC32C: sum})
}
