package awsfake

import (
	"encoding/xml"
	"net/http"
	"strings"
	"time"
)

// directorySuffix ends the names of the directory buckets of S3 Express One Zone.
const directorySuffix = "--x-s3"

// expressHost is in the names of their endpoints, after the name of the bucket.
const expressHost = ".s3express-"

// hosted returns the bucket that the host of a request names, or "".
func hosted(r *http.Request) string {
	name, _, found := strings.Cut(r.URL.Host, expressHost)
	if !found {
		return ""
	}
	return name
}

// directory says whether a bucket is a directory bucket.
func (f *S3) directory(b *bucket) bool { return f.mode.Directory || b.directory }

// session gives out the credentials that requests to a directory bucket are signed
// with: the same as all others, and a token.
func (f *S3) session(w http.ResponseWriter, b *bucket) error {
	if !f.directory(b) {
		return &failure{http.StatusBadRequest, "InvalidRequest", "sessions are for directory buckets"}
	}
	type given struct {
		AccessKeyID     string `xml:"AccessKeyId"`
		SecretAccessKey string
		SessionToken    string
		Expiration      time.Time
	}
	c := credentials()
	return answerXML(w, struct {
		XMLName     xml.Name `xml:"CreateSessionResult"`
		Credentials given
	}{Credentials: given{c.AccessKeyID, c.SecretAccessKey, "session", f.now().Add(5 * time.Minute)}})
}

// refused says what a directory bucket does not do.
func (f *S3) refused(r *http.Request, b *bucket) error {
	if !f.directory(b) {
		return nil
	}
	asked := r.URL.Query()
	for _, subresource := range []string{"versioning", "versionId", "versions", "object-lock", "tagging", "restore", "intelligent-tiering"} {
		if asked.Has(subresource) {
			return &failure{http.StatusNotImplemented, "NotImplemented", "a directory bucket has no " + subresource}
		}
	}
	return nil
}
