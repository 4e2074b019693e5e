package awsfake

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	standard       = "STANDARD"
	intelligent    = "INTELLIGENT_TIERING"
	express        = "EXPRESS_ONEZONE"
	storageClass   = "X-Amz-Storage-Class"
	tagging        = "X-Amz-Tagging"
	restoring      = "X-Amz-Restore"
	archiveStatus  = "X-Amz-Archive-Status"
	maxObjectTags  = 10
	maxTagKey      = 128
	maxTagValue    = 256
	maxRestoreDays = 1 << 20
)

// classes are those of a general purpose bucket, in the order in which lifecycle
// rules may move an object down.
var classes = []string{standard, "STANDARD_IA", intelligent, "ONEZONE_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"}

// retrieval is how long a restore takes, at the longest that S3 names.
var retrieval = map[string]map[string]time.Duration{
	"GLACIER":      {"Expedited": 5 * time.Minute, "Standard": 5 * time.Hour, "Bulk": 12 * time.Hour},
	"DEEP_ARCHIVE": {"Standard": 12 * time.Hour, "Bulk": 48 * time.Hour},
}

// tiers are the archives of Intelligent-Tiering, and which class each is like.
var tiers = map[string]string{"ARCHIVE_ACCESS": "GLACIER", "DEEP_ARCHIVE_ACCESS": "DEEP_ARCHIVE"}

// A restoration is a copy of an archived object, from ready to expiry.
type restoration struct {
	tier          string
	ready, expiry time.Time
}

// placed reads the class and the tags of an upload.
func placed(r *http.Request, directory bool) (class string, tags map[string]string, err error) {
	class = r.Header.Get(storageClass)
	switch {
	case class == "" && directory:
		class = express
	case class == "":
		class = standard
	case directory && class != express, !directory && !slices.Contains(classes, class):
		return "", nil, &failure{http.StatusBadRequest, "InvalidStorageClass", "The storage class you specified is not valid"}
	}
	text := r.Header.Get(tagging)
	if text == "" {
		return class, nil, nil
	}
	if directory {
		return "", nil, &failure{http.StatusNotImplemented, "NotImplemented", "a directory bucket has no tags"}
	}
	asked, err := url.ParseQuery(text)
	if err != nil {
		return "", nil, &failure{http.StatusBadRequest, "InvalidArgument", "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates."}
	}
	tags = map[string]string{}
	for key, values := range asked {
		if len(values) != 1 {
			return "", nil, &failure{http.StatusBadRequest, "InvalidTag", "Cannot provide multiple Tags with the same key"}
		}
		tags[key] = values[0]
	}
	return class, tags, validTags(tags)
}

func validTags(tags map[string]string) error {
	if len(tags) > maxObjectTags {
		return &failure{http.StatusBadRequest, "BadRequest", "Object tags cannot be greater than 10"}
	}
	for key, value := range tags {
		if key == "" || len(key) > maxTagKey || len(value) > maxTagValue {
			return &failure{http.StatusBadRequest, "InvalidTag", "The TagKey or TagValue you have provided is invalid"}
		}
	}
	return nil
}

type tag struct{ Key, Value string }

type tagSet struct {
	XMLName xml.Name `xml:"Tagging"`
	Tags    []tag    `xml:"TagSet>Tag"`
}

// tag reads, replaces or removes the tags of an object.
func (f *S3) tag(w http.ResponseWriter, r *http.Request, b *bucket, key string) error {
	o, err := f.find(w, r, b, key)
	if err != nil {
		return err
	}
	b.describe(w, o)
	w.Header().Del("Etag")
	switch r.Method {
	case http.MethodGet:
		out := tagSet{}
		for key, value := range o.tags {
			out.Tags = append(out.Tags, tag{key, value})
		}
		slices.SortFunc(out.Tags, func(a, b tag) int { return strings.Compare(a.Key, b.Key) })
		return answerXML(w, out)
	case http.MethodDelete:
		o.tags = nil
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	data, _, err := upload(r)
	if err != nil {
		return err
	}
	var in tagSet
	if err := xml.Unmarshal(data, &in); err != nil {
		return &failure{http.StatusBadRequest, "MalformedXML", err.Error()}
	}
	tags := map[string]string{}
	for _, t := range in.Tags {
		if _, twice := tags[t.Key]; twice {
			return &failure{http.StatusBadRequest, "InvalidTag", "Cannot provide multiple Tags with the same key"}
		}
		tags[t.Key] = t.Value
	}
	if err := validTags(tags); err != nil {
		return err
	}
	o.tags = tags
	return nil
}

// archive returns the class of archive that an object lies in, or "".
func (o *object) archive() string {
	if retrieval[o.class] != nil {
		return o.class
	}
	return tiers[o.tier]
}

// restored says whether there is a copy of an archived object now.
func (o *object) restored(now time.Time) bool {
	return o.copied != nil && !now.Before(o.copied.ready) && (o.copied.expiry.IsZero() || now.Before(o.copied.expiry))
}

// thaw ends restores that have come to their end.
func (o *object) thaw(now time.Time) {
	switch {
	case o.copied == nil:
	case o.tier != "" && !now.Before(o.copied.ready): // it moves to the frequent tier
		o.tier, o.copied, o.accessed = "", nil, now
	case !o.copied.expiry.IsZero() && !now.Before(o.copied.expiry):
		o.copied = nil
	}
}

// readable refuses an archived object that is not restored.
func (f *S3) readable(o *object) error {
	o.thaw(f.now())
	if o.archive() == "" || o.restored(f.now()) {
		return nil
	}
	return &failure{http.StatusForbidden, "InvalidObjectState", "The operation is not valid for the object's storage class"}
}

// classify says in a header how an object is kept.
func (f *S3) classify(w http.ResponseWriter, o *object) {
	o.thaw(f.now())
	if o.class != standard {
		w.Header().Set(storageClass, o.class)
	}
	if o.tier != "" {
		w.Header().Set(archiveStatus, o.tier)
	}
	if len(o.tags) > 0 {
		w.Header().Set("X-Amz-Tagging-Count", fmt.Sprint(len(o.tags)))
	}
	switch {
	case o.copied == nil:
	case o.restored(f.now()):
		w.Header().Set(restoring, fmt.Sprintf(`ongoing-request="false", expiry-date=%q`, o.copied.expiry.Format(http.TimeFormat)))
	default:
		w.Header().Set(restoring, `ongoing-request="true"`)
	}
}

type restoreRequest struct {
	Days *int
	Tier string
	Job  struct{ Tier string } `xml:"GlacierJobParameters"`
}

// restore begins to restore an archived object, or keeps its copy for longer.
func (f *S3) restore(w http.ResponseWriter, r *http.Request, b *bucket, key string) error {
	o, err := f.find(w, r, b, key)
	if err != nil {
		return err
	}
	var asked restoreRequest
	data, _, err := upload(r)
	if err != nil {
		return err
	}
	if err := xml.Unmarshal(data, &asked); err != nil {
		return &failure{http.StatusBadRequest, "MalformedXML", err.Error()}
	}
	o.thaw(f.now())
	class := o.archive()
	if class == "" {
		return &failure{http.StatusForbidden, "InvalidObjectState", "Restore is not allowed for the object's current storage class"}
	}
	tier := asked.Job.Tier
	if tier == "" {
		tier = asked.Tier
	}
	if tier == "" {
		tier = "Standard"
	}
	takes, known := retrieval[class][tier]
	switch {
	case !known:
		return &failure{http.StatusBadRequest, "InvalidArgument", tier + " retrievals are not for the storage class " + class}
	case o.tier != "" && asked.Days != nil:
		return &failure{http.StatusBadRequest, "MalformedXML", "Days is not for the archives of Intelligent-Tiering"}
	case o.tier == "" && (asked.Days == nil || *asked.Days < 1 || *asked.Days > maxRestoreDays):
		return &failure{http.StatusBadRequest, "MalformedXML", "Days of a restore: at least 1"}
	}
	b.describe(w, o)
	w.Header().Del("Etag")
	return f.begun(w, o, tier, takes, asked.Days)
}

// begun is restore, of a request that is in order.
func (f *S3) begun(w http.ResponseWriter, o *object, tier string, takes time.Duration, days *int) error {
	until := func(from time.Time) time.Time {
		if days == nil {
			return time.Time{}
		}
		return nextMidnight(from.Add(time.Duration(*days) * 24 * time.Hour))
	}
	now := f.now()
	if o.restored(now) {
		o.copied.expiry = until(now)
		w.WriteHeader(http.StatusOK)
		return nil
	}
	ready := now.Add(takes)
	if o.copied != nil {
		if faster := ready.Before(o.copied.ready) && tier != o.copied.tier; !faster {
			return &failure{http.StatusConflict, "RestoreAlreadyInProgress", "Object restore is already in progress"}
		}
	}
	o.copied = &restoration{tier, ready, until(ready)}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// nextMidnight is how S3 rounds the ends of days.
func nextMidnight(at time.Time) time.Time {
	day := at.Truncate(24 * time.Hour)
	if day.Equal(at) {
		return at
	}
	return day.Add(24 * time.Hour)
}
