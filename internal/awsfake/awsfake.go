// Package awsfake answers the part of the AWS protocols that this module speaks,
// so that tests run the real AWS clients against memory.
//
// A fake is an [http.Handler] behind the client's HTTPClient: there is no port
// and nothing to clean up, and it works in testing/synctest, where backoff takes
// no time. Its answers carry the time of that bubble in their Date.
//
// Faults are injected in one way, by [Server.Intercept]. What a fake does not know
// it refuses, with an error that says so; what it lacks is listed at the top of
// the file of its service.
package awsfake

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const (
	region  = "us-east-1"
	account = "123456789012"
)

// A Server is what all fakes have in common.
type Server struct {
	service string // as the signature names it
	serve   http.HandlerFunc

	mu        sync.Mutex
	intercept Interceptor

	public bool         // takes requests without a signature
	ahead  atomic.Int64 // of its clock, in nanoseconds
}

// Jump moves the clock of a fake by d, which may be negative: what it stamps and
// what it does by time goes by that clock, which is [time.Now] until then.
func (s *Server) Jump(d time.Duration) { s.ahead.Add(int64(d)) }

func (s *Server) now() time.Time { return time.Now().UTC().Add(time.Duration(s.ahead.Load())) }

// An Interceptor sees a request before the fake does. It either answers it and
// returns true, or returns false and leaves the request to the fake. To act on
// the answer, or on what happens between two requests, it calls next itself.
type Interceptor func(w http.ResponseWriter, r *http.Request, next http.Handler) (answered bool)

// Intercept has fn see every request from now on; nil ends that. The fake holds no
// lock meanwhile: fn may use clients of the same fake, whose requests it then
// sees too, and must be safe for concurrent use if they are.
func (s *Server) Intercept(fn Interceptor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intercept = fn
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	fn := s.intercept
	s.mu.Unlock()
	next := http.HandlerFunc(s.answer)
	if fn == nil || !fn(w, r, next) {
		next(w, r)
	}
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	if w.Header().Get("Date") == "" {
		w.Header().Set("Date", s.now().Format(http.TimeFormat))
	}
	w.Header().Set("X-Amzn-Requestid", "fake")
	if problem := s.unsigned(r); problem != "" {
		Fail(w, r, http.StatusForbidden, "AccessDeniedException", problem)
		return
	}
	s.serve(w, r)
}

// unsigned says what is wrong with the signature of r: that it was made for another
// service, or for another request, such as one that a middleware changed later.
func (s *Server) unsigned(r *http.Request) string {
	given := r.Header.Get("Authorization")
	if given == "" && s.public {
		return ""
	}
	service := s.service
	if hosted(r) != "" {
		service = "s3express"
	}
	scope := "/" + region + "/" + service + "/aws4_request"
	if !strings.HasPrefix(given, "AWS4-HMAC-SHA256 ") || !strings.Contains(given, scope) {
		return "the request is not signed for " + scope
	}
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		return err.Error()
	}
	sum := sha256.Sum256(body(r))
	hash := hex.EncodeToString(sum[:])
	if announced := r.Header.Get("X-Amz-Content-Sha256"); announced != "" && len(announced) != len(hash) {
		hash = announced // a constant such as UNSIGNED-PAYLOAD
	}
	again := r.Clone(r.Context())
	_, names, _ := strings.Cut(given, "SignedHeaders=")
	names, _, _ = strings.Cut(names, ",")
	signed := strings.Split(names, ";")
	maps.DeleteFunc(again.Header, func(name string, _ []string) bool { return !slices.Contains(signed, strings.ToLower(name)) })
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = s.service == "s3" })
	if err := signer.SignHTTP(r.Context(), credentials(), again, hash, service, region, at); err != nil {
		return err.Error()
	}
	if again.Header.Get("Authorization") != given {
		return "the request is not the one that was signed"
	}
	return ""
}

// Do implements the HTTPClient of the AWS clients.
func (s *Server) Do(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	var data []byte
	if r.Body != nil {
		var err error
		data, err = io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil {
			return nil, err
		}
	}
	if r.ContentLength > 0 && r.ContentLength != int64(len(data)) {
		return nil, fmt.Errorf("awsfake: Content-Length is %d, the body has %d bytes", r.ContentLength, len(data))
	}
	r = r.Clone(r.Context())
	r.Body = payload{bytes.NewReader(data), data}

	w := &reply{ResponseRecorder: httptest.NewRecorder()}
	s.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err // what it did stays done, as on a real network
	}
	if w.lost {
		return nil, fmt.Errorf("awsfake: the answer is lost: %w", syscall.ECONNRESET)
	}
	response := w.Result()
	response.Request = r
	return response, nil
}

// reply is the answer that the transport gives.
type reply struct {
	*httptest.ResponseRecorder
	lost bool
}

// Lose makes the client see a broken connection in place of the answer. An
// [Interceptor] that calls next first injects the ambiguous case: the request was
// carried out and nobody knows. It answers the request, so return true.
func Lose(w http.ResponseWriter) {
	if w, ok := w.(*reply); ok {
		w.lost = true
	}
}

// payload is a request body that can be read again.
type payload struct {
	*bytes.Reader
	data []byte
}

func (payload) Close() error { return nil }

// body returns the whole body of a request, whether or not it has been read.
func body(r *http.Request) []byte {
	if p, ok := r.Body.(payload); ok {
		return p.data
	}
	return nil
}

// Operation returns the name of the API operation that r asks for, such as
// PutItem or ListObjectsV2, or "" if it is none that the fakes know.
func Operation(r *http.Request) string {
	if _, name, ok := strings.Cut(r.Header.Get("X-Amz-Target"), "."); ok {
		return name
	}
	if isVectors(r) {
		return strings.TrimPrefix(r.URL.Path, "/")
	}
	return s3Operation(r)
}

// Fail answers r with an error in the format of its protocol. Code is the name of
// the exception, such as ThrottlingException or SlowDown.
func Fail(w http.ResponseWriter, r *http.Request, status int, code, message string) {
	switch {
	case r.Header.Get("X-Amz-Target") != "":
		answerDynamoDB(w, status, map[string]any{"__type": "com.amazonaws.dynamodb.v20120810#" + code, "message": message})
	case isVectors(r):
		w.Header().Set("X-Amzn-Errortype", code)
		answerJSON(w, status, map[string]any{"message": message})
	default:
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			xml.NewEncoder(w).Encode(struct {
				XMLName       xml.Name `xml:"Error"`
				Code, Message string
			}{Code: code, Message: message})
		}
	}
}

func answerJSON(w http.ResponseWriter, status int, value any) {
	data, err := json.Marshal(value)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	w.Write(data)
}

// decode reads a JSON request and refuses the fields that into has not.
func decode(r *http.Request, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(body(r)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("the fake does not take this request: %w", err)
	}
	return nil
}

// credentials are what every client of the fakes signs with.
func credentials() aws.Credentials {
	return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}
}

func retrieve(context.Context) (aws.Credentials, error) { return credentials(), nil }

// A failure is an error that a fake answers with.
type failure struct {
	status        int
	code, message string
}

func (f *failure) Error() string { return f.code + ": " + f.message }

func invalid(format string, args ...any) error {
	return &failure{http.StatusBadRequest, "ValidationException", fmt.Sprintf(format, args...)}
}
