package awsfake

import (
	"encoding/base64"
	"encoding/xml"
	"hash/fnv"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

type listing struct {
	XMLName               xml.Name `xml:"ListBucketResult"`
	Name, Prefix          string
	KeyCount, MaxKeys     int
	IsTruncated           bool
	NextContinuationToken string `xml:",omitempty"`
	Contents              []content
	CommonPrefixes        []commonPrefix
}

type (
	content struct {
		Key, ETag, StorageClass string
		Size                    int
		LastModified            time.Time
		RestoreStatus           *restoreStatus
	}
	restoreStatus struct {
		IsRestoreInProgress bool
		RestoreExpiryDate   *time.Time
	}
	commonPrefix struct{ Prefix string }
)

// limit reads how many entries a page may have.
func limit(r *http.Request, parameter string) (int, error) {
	const most = 1000
	asked := r.URL.Query().Get(parameter)
	if asked == "" {
		return most, nil
	}
	n, err := strconv.Atoi(asked)
	if err != nil || n < 0 {
		return 0, &failure{http.StatusBadRequest, "InvalidArgument", parameter}
	}
	return min(n, most), nil
}

func (f *S3) list(w http.ResponseWriter, r *http.Request, name string, b *bucket) error {
	asked := r.URL.Query()
	page := listing{Name: name, Prefix: asked.Get("prefix")}
	if f.directory(b) {
		if err := directoryList(asked); err != nil {
			return err
		}
	}
	var err error
	if page.MaxKeys, err = limit(r, "max-keys"); err != nil {
		return err
	}
	after := asked.Get("start-after")
	if token := asked.Get("continuation-token"); token != "" {
		last, err := base64.URLEncoding.DecodeString(token)
		if err != nil {
			return &failure{http.StatusBadRequest, "InvalidArgument", "The continuation token provided is incorrect"}
		}
		after = string(last)
	}
	keys := slices.Sorted(maps.Keys(b.keys))
	if f.directory(b) {
		slices.SortFunc(keys, func(a, b string) int { return strings.Compare(shuffled(a), shuffled(b)) })
	}
	page.fill(b, keys, after, asked.Get("delimiter"))
	if strings.Contains(r.Header.Get("X-Amz-Optional-Object-Attributes"), "RestoreStatus") {
		for i := range page.Contents {
			page.Contents[i].RestoreStatus = f.status(b.current(page.Contents[i].Key))
		}
	}
	if asked.Get("encoding-type") == "url" {
		for i := range page.Contents {
			page.Contents[i].Key = url.QueryEscape(page.Contents[i].Key)
		}
	}
	w.Header().Set("Content-Type", "application/xml")
	return xml.NewEncoder(w).Encode(page)
}

// status says how the restore of an object goes, if there is one.
func (f *S3) status(o *object) *restoreStatus {
	o.thaw(f.now())
	switch {
	case o.copied == nil:
		return nil
	case o.restored(f.now()):
		return &restoreStatus{false, &o.copied.expiry}
	}
	return &restoreStatus{true, nil}
}

// shuffled gives the keys of a directory bucket an order that is not theirs.
func shuffled(key string) string {
	h := fnv.New64a()
	h.Write([]byte(key))
	return string(h.Sum(nil))
}

func directoryList(asked url.Values) error {
	prefix, delimiter := asked.Get("prefix"), asked.Get("delimiter")
	if prefix != "" && !strings.HasSuffix(prefix, "/") || asked.Has("start-after") || delimiter != "" {
		return &failure{http.StatusBadRequest, "InvalidArgument", "a directory bucket takes a prefix that ends in a slash, and the fake no delimiter"}
	}
	return nil
}

// fill adds the keys that come after one of them. With a delimiter, keys that
// share what comes before it count as one common prefix.
func (page *listing) fill(b *bucket, keys []string, after, delimiter string) {
	last := ""
	past := after == ""
	ordered := slices.IsSorted(keys)
	for _, key := range keys {
		rest, ok := strings.CutPrefix(key, page.Prefix)
		entry := key
		if head, _, found := strings.Cut(rest, delimiter); found && delimiter != "" {
			entry = page.Prefix + head + delimiter
		}
		if ordered {
			past = entry > after
		} else if !past {
			past = key == after
			continue
		}
		stored := b.current(key)
		switch {
		case !ok || !past || entry == last || stored == nil:
			continue
		case page.KeyCount == page.MaxKeys:
			page.IsTruncated = page.MaxKeys > 0
			page.NextContinuationToken = base64.URLEncoding.EncodeToString([]byte(last))
			return
		}
		last = entry
		page.KeyCount++
		if entry != key {
			page.CommonPrefixes = append(page.CommonPrefixes, commonPrefix{entry})
			continue
		}
		page.Contents = append(page.Contents, content{key, stored.etag, stored.class, len(stored.data), stored.modified, nil})
	}
}

type versionEntry struct {
	XMLName      xml.Name
	Key          string
	VersionID    string `xml:"VersionId"`
	IsLatest     bool
	LastModified time.Time
	ETag         string `xml:",omitempty"`
	Size         int
	StorageClass string `xml:",omitempty"`
}

type versionListing struct {
	XMLName             xml.Name `xml:"ListVersionsResult"`
	Name, Prefix        string
	MaxKeys             int
	IsTruncated         bool
	NextKeyMarker       string `xml:",omitempty"`
	NextVersionIDMarker string `xml:"NextVersionIdMarker,omitempty"`
	Entries             []versionEntry
}

// listVersions lists versions and delete markers by key, newest first.
func listVersions(w http.ResponseWriter, r *http.Request, name string, b *bucket) error {
	asked := r.URL.Query()
	page := versionListing{Name: name, Prefix: asked.Get("prefix")}
	var err error
	if page.MaxKeys, err = limit(r, "max-keys"); err != nil {
		return err
	}
	keyMarker, versionMarker := asked.Get("key-marker"), asked.Get("version-id-marker")
	for _, key := range slices.Sorted(maps.Keys(b.keys)) {
		if !strings.HasPrefix(key, page.Prefix) || key < keyMarker || key == keyMarker && versionMarker == "" {
			continue
		}
		behind := key == keyMarker
		for i, o := range slices.Backward(b.keys[key]) {
			if behind {
				behind = o.version != versionMarker
				continue
			}
			if len(page.Entries) == page.MaxKeys {
				page.IsTruncated = page.MaxKeys > 0
				if page.IsTruncated {
					last := page.Entries[len(page.Entries)-1]
					page.NextKeyMarker, page.NextVersionIDMarker = last.Key, last.VersionID
				}
				return page.answer(w, asked)
			}
			e := versionEntry{xml.Name{Local: "Version"}, key, o.version, i == len(b.keys[key])-1, o.modified, o.etag, len(o.data), o.class}
			if o.marker {
				e.XMLName.Local = "DeleteMarker"
			}
			page.Entries = append(page.Entries, e)
		}
	}
	return page.answer(w, asked)
}

func (page *versionListing) answer(w http.ResponseWriter, asked url.Values) error {
	if asked.Get("encoding-type") == "url" {
		for i := range page.Entries {
			page.Entries[i].Key = url.QueryEscape(page.Entries[i].Key)
		}
	}
	w.Header().Set("Content-Type", "application/xml")
	return xml.NewEncoder(w).Encode(page)
}
