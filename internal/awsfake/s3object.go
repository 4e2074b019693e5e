package awsfake

import (
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

type object struct {
	data     []byte
	etag     string
	modified time.Time
	header   http.Header // what PutObject was given and GetObject returns
	sums     map[string]string
	version  string // null before versioning was enabled, and while it is suspended
	marker   bool   // a delete marker
	class    string
	tags     map[string]string
	tier     string       // an archive of Intelligent-Tiering
	accessed time.Time    // read last
	copied   *restoration // of an archived object
	parts    int          // of a checksum of checksums
}

// current returns the object that a key has now, or nil.
func (b *bucket) current(key string) *object {
	versions := b.keys[key]
	if len(versions) == 0 || versions[len(versions)-1].marker {
		return nil
	}
	return versions[len(versions)-1]
}

// add makes o the newest version of a key.
func (f *S3) add(b *bucket, key string, o *object) {
	o.version = "null"
	o.accessed = o.modified
	if b.versioning == "Enabled" {
		f.serial++
		o.version = fmt.Sprintf("v%08d", f.serial)
	}
	if o.version == "null" {
		b.keys[key] = slices.DeleteFunc(b.keys[key], func(old *object) bool { return old.version == "null" })
	}
	b.keys[key] = append(b.keys[key], o)
}

// meets compares the conditions of a write with what is there.
func (f *S3) meets(r *http.Request, old *object) error {
	if f.mode.Careless {
		return nil
	}
	unmet := &failure{http.StatusPreconditionFailed, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold"}
	if none := r.Header.Get("If-None-Match"); none != "" && none != "*" {
		return &failure{http.StatusNotImplemented, "NotImplemented", "If-None-Match of a write must be *"}
	} else if none != "" && old != nil {
		return unmet
	}
	match := r.Header.Get("If-Match")
	switch {
	case match == "":
		return nil
	case old == nil:
		return &failure{http.StatusNotFound, "NoSuchKey", "The specified key does not exist."}
	case match != "*" && strings.Trim(match, `"`) != strings.Trim(old.etag, `"`):
		return unmet
	}
	return nil
}

// kept are the headers that S3 stores with an object, besides X-Amz-Meta-.
var kept = []string{"Content-Type", "Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Expires"}

// passing are the other x-amz headers of an upload that the fake understands.
var passing = []string{
	"X-Amz-Content-Sha256", "X-Amz-Date", "X-Amz-Decoded-Content-Length", "X-Amz-Trailer", "X-Amz-Sdk-Checksum-Algorithm", "X-Amz-User-Agent",
	storageClass, tagging, "X-Amz-S3session-Token", "X-Amz-Security-Token", "X-Amz-Server-Side-Encryption", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", "X-Amz-Server-Side-Encryption-Bucket-Key-Enabled",
}

// headers returns what of the headers of an upload is stored.
func headers(r *http.Request) (http.Header, error) {
	stored := http.Header{}
	for name, values := range r.Header {
		switch {
		case slices.Contains(kept, name) || strings.HasPrefix(name, "X-Amz-Meta-") || strings.HasPrefix(name, "X-Amz-Server-Side-Encryption"):
			stored[name] = values
		case strings.HasPrefix(name, "X-Amz-") && !slices.Contains(passing, name) && !strings.HasPrefix(name, "X-Amz-Checksum-"):
			return nil, &failure{http.StatusNotImplemented, "NotImplemented", "the fake does not know " + name}
		}
	}
	stored.Del("Content-Encoding")
	if own := slices.DeleteFunc(codings(r.Header), func(c string) bool { return c == "aws-chunked" }); len(own) > 0 {
		stored.Set("Content-Encoding", strings.Join(own, ","))
	}
	return stored, nil
}

func (f *S3) etag(b *bucket, data []byte) string {
	if f.directory(b) {
		return `"` + strings.ToLower(rand.Text()) + `"`
	}
	sum := md5.Sum(data)
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

func (f *S3) put(w http.ResponseWriter, r *http.Request, b *bucket, key string) error {
	if err := f.meets(r, b.current(key)); err != nil {
		return err
	}
	data, sums, err := upload(r)
	if err != nil {
		return err
	}
	header, err := headers(r)
	if err != nil {
		return err
	}
	class, tags, err := placed(r, f.directory(b))
	if err != nil {
		return err
	}
	o := &object{data: data, etag: f.etag(b, data), modified: f.now(), header: header, sums: sums, class: class, tags: tags}
	f.add(b, key, o)
	b.describe(w, o)
	o.describeSums(w)
	return nil
}

// describeSums says the checksums of an object.
func (o *object) describeSums(w http.ResponseWriter) {
	for name, sum := range o.sums {
		w.Header().Set(name, sum)
		w.Header().Set("X-Amz-Checksum-Type", o.sumType())
	}
}

func (o *object) sumType() string {
	if o.parts > 0 {
		return composite
	}
	return fullObject
}

// describe says which object a request made or found.
func (b *bucket) describe(w http.ResponseWriter, o *object) {
	if o.etag != "" {
		w.Header().Set("Etag", o.etag)
	}
	if b.versioning != "" {
		w.Header().Set("X-Amz-Version-Id", o.version)
	}
}

func (f *S3) remove(w http.ResponseWriter, r *http.Request, b *bucket, key string) error {
	old := b.current(key)
	version := r.URL.Query().Get("versionId")
	if version == "" {
		if err := f.meets(r, old); err != nil {
			return err
		}
	}
	switch {
	case version != "":
		removeVersion(w, b, key, version)
	case b.versioning != "":
		marker := &object{marker: true, modified: f.now()}
		f.add(b, key, marker)
		b.describe(w, marker)
		w.Header().Set("X-Amz-Delete-Marker", "true")
	default:
		delete(b.keys, key)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func removeVersion(w http.ResponseWriter, b *bucket, key, version string) {
	w.Header().Set("X-Amz-Version-Id", version)
	b.keys[key] = slices.DeleteFunc(b.keys[key], func(o *object) bool {
		if o.version == version && o.marker {
			w.Header().Set("X-Amz-Delete-Marker", "true")
		}
		return o.version == version
	})
	if len(b.keys[key]) == 0 {
		delete(b.keys, key)
	}
}

// find returns the version of a key that is asked for.
func (f *S3) find(w http.ResponseWriter, r *http.Request, b *bucket, key string) (*object, error) {
	if version := r.URL.Query().Get("versionId"); version != "" {
		i := slices.IndexFunc(b.keys[key], func(o *object) bool { return o.version == version })
		if i < 0 {
			return nil, &failure{http.StatusNotFound, "NoSuchVersion", "The specified version does not exist."}
		}
		if o := b.keys[key][i]; !o.marker {
			return o, nil
		}
		w.Header().Set("X-Amz-Delete-Marker", "true")
		return nil, &failure{http.StatusMethodNotAllowed, "MethodNotAllowed", "The specified version is a delete marker."}
	}
	if o := b.current(key); o != nil {
		return o, nil
	}
	if f.mode.Blind {
		return nil, &failure{http.StatusForbidden, "AccessDenied", "Access Denied"}
	}
	if len(b.keys[key]) > 0 {
		w.Header().Set("X-Amz-Delete-Marker", "true")
	}
	return nil, &failure{http.StatusNotFound, "NoSuchKey", "The specified key does not exist."}
}

func (f *S3) get(w http.ResponseWriter, r *http.Request, b *bucket, key string) error {
	stored, err := f.find(w, r, b, key)
	if err != nil {
		return err
	}
	if match := r.Header.Get("If-Match"); match != "" && match != stored.etag {
		return &failure{http.StatusPreconditionFailed, "PreconditionFailed", "the object is another one by now"}
	}
	b.describe(w, stored)
	if r.Header.Get("If-None-Match") == stored.etag {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	f.classify(w, stored)
	if r.Method == http.MethodGet {
		if err := f.readable(stored); err != nil {
			return err
		}
		stored.accessed = f.now()
	}
	data, status := stored.data, http.StatusOK
	if asked := r.Header.Get("Range"); asked != "" {
		first, last, ok := byteRange(asked, len(data))
		if !ok {
			return &failure{http.StatusRequestedRangeNotSatisfiable, "InvalidRange", "The requested range is not satisfiable"}
		}
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, len(data)))
		data, status = data[first:last+1], http.StatusPartialContent
	}
	maps.Copy(w.Header(), stored.header)
	w.Header().Set("Accept-Ranges", "bytes")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.Header().Set("Last-Modified", stored.modified.Format(http.TimeFormat))
	if r.Header.Get("X-Amz-Checksum-Mode") == "ENABLED" && status == http.StatusOK {
		stored.describeSums(w)
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		w.Write(data)
	}
	return nil
}

// byteRange reads bytes=first-last, bytes=first- or bytes=-length.
func byteRange(asked string, size int) (first, last int, ok bool) {
	spec, ok := strings.CutPrefix(asked, "bytes=")
	from, to, dash := strings.Cut(spec, "-")
	if !ok || !dash {
		return 0, 0, false
	}
	last = size - 1
	if from == "" {
		length, err := strconv.Atoi(to)
		return max(0, size-length), last, err == nil && length > 0 && size > 0
	}
	first, err := strconv.Atoi(from)
	if err == nil && to != "" {
		last, err = strconv.Atoi(to)
		last = min(last, size-1)
	}
	return first, last, err == nil && first <= last
}
