package awsfake

import (
	"cmp"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	maxParts     = 10_000
	leastPart    = 5 << 20 // bytes of a part that is not the last
	fullObject   = "FULL_OBJECT"
	composite    = "COMPOSITE"
	checksumName = "X-Amz-Checksum-"
)

// A multipart is an upload that was begun.
type multipart struct {
	key       string
	initiated time.Time
	header    http.Header
	algorithm string // the header of its checksums
	composite bool   // its checksum is one of those of its parts
	class     string
	tags      map[string]string
	parts     map[int]part
}

type part struct {
	data     []byte
	etag     string
	modified time.Time
}

func noSuchUpload() error {
	return &failure{http.StatusNotFound, "NoSuchUpload", "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."}
}

func (f *S3) multipart(w http.ResponseWriter, r *http.Request, operation string, b *bucket) error {
	_, key := split(r)
	switch operation {
	case "CreateMultipartUpload":
		return f.begin(w, r, b, key)
	case "ListMultipartUploads":
		return listUploads(w, r, b)
	}
	up := b.uploads[r.URL.Query().Get("uploadId")]
	if up == nil || up.key != key {
		return noSuchUpload()
	}
	switch operation {
	case "UploadPart":
		return f.uploadPart(w, r, up)
	case "CompleteMultipartUpload":
		return f.complete(w, r, b, up)
	case "ListParts":
		return listParts(w, r, up)
	case "AbortMultipartUpload":
		delete(b.uploads, r.URL.Query().Get("uploadId"))
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return &failure{http.StatusNotImplemented, "NotImplemented", "the fake does not know " + operation}
}

func (f *S3) begin(w http.ResponseWriter, r *http.Request, b *bucket, key string) error {
	algorithm := r.Header.Get("X-Amz-Checksum-Algorithm")
	name := http.CanonicalHeaderKey(checksumName + cmp.Or(algorithm, "crc64nvme"))
	kind := r.Header.Get("X-Amz-Checksum-Type")
	switch {
	case checksums[name] == nil:
		return &failure{http.StatusNotImplemented, "NotImplemented", "the fake does not know " + algorithm}
	case kind == "" && (algorithm == "" || algorithm == "CRC64NVME"):
		kind = fullObject
	case kind == "":
		kind = composite
	case kind == fullObject && strings.HasPrefix(algorithm, "SHA"), kind == composite && algorithm == "CRC64NVME", kind != fullObject && kind != composite:
		return &failure{http.StatusBadRequest, "InvalidRequest", "The " + kind + " checksum type cannot be used with the " + algorithm + " checksum algorithm."}
	}
	header, err := headers(r)
	if err != nil {
		return err
	}
	class, tags, err := placed(r, f.directory(b))
	if err != nil {
		return err
	}
	f.serial++
	id := fmt.Sprintf("upload-%08d", f.serial)
	b.uploads[id] = &multipart{key, f.now(), header, name, kind == composite, class, tags, map[int]part{}}
	w.Header().Set("X-Amz-Checksum-Algorithm", algorithm)
	w.Header().Set("X-Amz-Checksum-Type", kind)
	return answerXML(w, struct {
		XMLName  xml.Name `xml:"InitiateMultipartUploadResult"`
		Key      string
		UploadID string `xml:"UploadId"`
	}{Key: key, UploadID: id})
}

func answerXML(w http.ResponseWriter, value any) error {
	w.Header().Set("Content-Type", "application/xml")
	return xml.NewEncoder(w).Encode(value)
}

func (f *S3) uploadPart(w http.ResponseWriter, r *http.Request, up *multipart) error {
	number, err := strconv.Atoi(r.URL.Query().Get("partNumber"))
	if err != nil || number < 1 || number > maxParts {
		return &failure{http.StatusBadRequest, "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive"}
	}
	data, sums, err := upload(r)
	if err != nil {
		return err
	}
	for name := range sums {
		if name != up.algorithm {
			return &failure{http.StatusBadRequest, "InvalidRequest", "Checksum Type mismatch occurred: the upload was begun with " + up.algorithm}
		}
		w.Header().Set(name, sums[name])
	}
	sum := md5.Sum(data)
	p := part{data, `"` + hex.EncodeToString(sum[:]) + `"`, f.now()}
	up.parts[number] = p
	w.Header().Set("Etag", p.etag)
	return nil
}

type completion struct {
	Parts []struct {
		PartNumber int
		ETag       string
	} `xml:"Part"`
}

// joined returns the bytes of the parts that a completion names, and their tag.
func (f *S3) joined(b *bucket, up *multipart, asked completion) ([]byte, string, error) {
	if len(asked.Parts) == 0 {
		return nil, "", &failure{http.StatusBadRequest, "MalformedXML", "a completion names no part"}
	}
	last := 0
	for _, want := range asked.Parts {
		if want.PartNumber <= last || f.directory(b) && want.PartNumber != last+1 {
			return nil, "", &failure{http.StatusBadRequest, "InvalidPartOrder", "The list of parts was not in ascending order."}
		}
		last = want.PartNumber
	}
	var data, tags []byte
	for i, want := range asked.Parts {
		p, ok := up.parts[want.PartNumber]
		switch {
		case !ok || strings.Trim(want.ETag, `"`) != strings.Trim(p.etag, `"`):
			return nil, "", &failure{http.StatusBadRequest, "InvalidPart", "One or more of the specified parts could not be found."}
		case len(p.data) < leastPart && i < len(asked.Parts)-1:
			return nil, "", &failure{http.StatusBadRequest, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size"}
		}
		data = append(data, p.data...)
		sum := md5.Sum(p.data)
		tags = append(tags, sum[:]...)
	}
	if f.directory(b) {
		return data, f.etag(b, data), nil
	}
	sum := md5.Sum(tags)
	return data, fmt.Sprintf(`"%x-%d"`, sum, len(asked.Parts)), nil
}

// checksum returns that of a whole object, or of the checksums of its parts with how
// many there are.
func (up *multipart) checksum(data []byte, asked completion) (sum string, parts int) {
	compute := checksums[up.algorithm]
	if !up.composite {
		return base64.StdEncoding.EncodeToString(compute(data)), 0
	}
	var all []byte
	for _, want := range asked.Parts {
		all = append(all, compute(up.parts[want.PartNumber].data)...)
	}
	return fmt.Sprintf("%s-%d", base64.StdEncoding.EncodeToString(compute(all)), len(asked.Parts)), len(asked.Parts)
}

func (f *S3) complete(w http.ResponseWriter, r *http.Request, b *bucket, up *multipart) error {
	if err := f.meets(r, b.current(up.key)); err != nil {
		return err
	}
	var asked completion
	if err := xml.Unmarshal(body(r), &asked); err != nil {
		return &failure{http.StatusBadRequest, "MalformedXML", err.Error()}
	}
	data, etag, err := f.joined(b, up, asked)
	if err != nil {
		return err
	}
	sum, parts := up.checksum(data, asked)
	if given := r.Header.Get(up.algorithm); given != "" && given != sum {
		return &failure{http.StatusBadRequest, "BadDigest", "the " + up.algorithm + " you specified did not match the calculated checksum"}
	}
	if size := r.Header.Get("X-Amz-Mp-Object-Size"); size != "" && size != strconv.Itoa(len(data)) {
		return &failure{http.StatusBadRequest, "InvalidRequest", "the object size you specified did not match"}
	}
	o := &object{
		data: data, etag: etag, modified: f.now(), header: up.header, sums: map[string]string{up.algorithm: sum},
		class: up.class, tags: up.tags, parts: parts,
	}
	f.add(b, up.key, o)
	delete(b.uploads, r.URL.Query().Get("uploadId"))
	b.describe(w, o)
	name := "Checksum" + strings.ToUpper(strings.TrimPrefix(up.algorithm, checksumName))
	type checksum struct {
		XMLName xml.Name
		Value   string `xml:",chardata"`
	}
	return answerXML(w, struct {
		XMLName      xml.Name `xml:"CompleteMultipartUploadResult"`
		Key, ETag    string
		ChecksumType string
		Sum          checksum
	}{Key: up.key, ETag: etag, ChecksumType: o.sumType(), Sum: checksum{xml.Name{Local: name}, sum}})
}

func listParts(w http.ResponseWriter, r *http.Request, up *multipart) error {
	type entry struct {
		PartNumber     int
		ETag           string
		Size           int
		LastModified   time.Time
		ChecksumCRC32C string `xml:",omitempty"`
	}
	page := struct {
		XMLName              xml.Name `xml:"ListPartsResult"`
		IsTruncated          bool
		NextPartNumberMarker int
		Part                 []entry
	}{}
	most, err := limit(r, "max-parts")
	if err != nil {
		return err
	}
	after := 0
	if marker := r.URL.Query().Get("part-number-marker"); marker != "" {
		if after, err = strconv.Atoi(marker); err != nil {
			return &failure{http.StatusBadRequest, "InvalidArgument", "part-number-marker"}
		}
	}
	for _, number := range slices.Sorted(maps.Keys(up.parts)) {
		if number <= after {
			continue
		}
		if len(page.Part) == most {
			page.IsTruncated = true
			break
		}
		p, sum := up.parts[number], ""
		if up.algorithm == "X-Amz-Checksum-Crc32c" {
			sum = base64.StdEncoding.EncodeToString(checksums[up.algorithm](p.data))
		}
		page.Part = append(page.Part, entry{number, p.etag, len(p.data), p.modified, sum})
		page.NextPartNumberMarker = number
	}
	return answerXML(w, page)
}

// listUploads lists all uploads in one page, by key and then by id.
func listUploads(w http.ResponseWriter, r *http.Request, b *bucket) error {
	type entry struct {
		Key       string
		UploadID  string `xml:"UploadId"`
		Initiated time.Time
	}
	page := struct {
		XMLName xml.Name `xml:"ListMultipartUploadsResult"`
		Upload  []entry
	}{}
	for id, up := range b.uploads {
		if strings.HasPrefix(up.key, r.URL.Query().Get("prefix")) {
			page.Upload = append(page.Upload, entry{up.key, id, up.initiated})
		}
	}
	slices.SortFunc(page.Upload, func(a, b entry) int {
		return cmp.Or(strings.Compare(a.Key, b.Key), strings.Compare(a.UploadID, b.UploadID))
	})
	return answerXML(w, page)
}
