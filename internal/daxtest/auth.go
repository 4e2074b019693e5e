package daxtest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// An auth is what a connection has shown of itself.
type auth struct {
	ok    bool
	until time.Time
}

// authLife is how long a connection is believed. The official client says again who
// it is after three quarters of it.
const authLife = 5 * time.Minute

var errUnauthorized = errors.New("The connection is not authorized: a signature by the cluster's credentials is needed") //nolint:staticcheck // a message of the service

func (a auth) check(c *Cluster) error {
	if c.opts.Credentials == nil || a.ok && time.Now().Before(a.until) {
		return nil
	}
	return errUnauthorized
}

// authorize checks a signature of version 4 over an empty POST to DAX, which is bound
// to no cluster and no request.
func (c *Cluster) authorize(p proof) auth {
	if c.opts.Credentials == nil {
		return auth{ok: true}
	}
	creds, err := c.opts.Credentials.Retrieve(c.ctx)
	if err != nil || p.accessKey != creds.AccessKeyID || p.token != creds.SessionToken {
		return auth{}
	}
	lines := strings.Split(p.stringToSign, "\n")
	if len(lines) != 4 || lines[0] != "AWS4-HMAC-SHA256" {
		return auth{}
	}
	at, err := time.Parse("20060102T150405Z", lines[1])
	if err != nil || time.Since(at).Abs() > authLife {
		return auth{}
	}
	day := at.Format("20060102")
	empty := sha256.Sum256(nil)
	request := sha256.Sum256(fmt.Appendf(nil, "POST\n/\n\nhost:https://dax.amazonaws.com\nx-amz-date:%s\n\nhost;x-amz-date\n%x", lines[1], empty))
	if lines[2] != day+"/"+c.opts.Region+"/dax/aws4_request" || lines[3] != hex.EncodeToString(request[:]) {
		return auth{}
	}
	key := []byte("AWS4" + creds.SecretAccessKey)
	for _, part := range []string{day, c.opts.Region, "dax", "aws4_request", p.stringToSign} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	if !hmac.Equal([]byte(p.signature), []byte(hex.EncodeToString(key))) {
		return auth{}
	}
	return auth{ok: true, until: time.Now().Add(authLife)}
}
