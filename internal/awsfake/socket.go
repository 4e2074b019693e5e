package awsfake

import (
	"io"
	"maps"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Socket returns a handler for a server on the loopback, for programs that tests run:
// each request goes to the fake of the service that it is signed for, such as
// "dynamodb". A program signs as the clients of the fakes do, with "test" as both keys.
// An answer that is lost breaks the connection.
func Socket(fakes map[string]aws.HTTPClient) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scope, _, _ := strings.Cut(r.Header.Get("Authorization"), "/aws4_request")
		service := scope[strings.LastIndexByte(scope, '/')+1:]
		fake, ok := fakes[service]
		if !ok {
			http.Error(w, "no fake of "+service, http.StatusNotFound)
			return
		}
		response, err := fake.Do(r)
		if err != nil {
			panic(http.ErrAbortHandler) //nolint:forbidigo // how a handler breaks its connection
		}
		defer response.Body.Close()
		maps.Copy(w.Header(), response.Header)
		w.WriteHeader(response.StatusCode)
		_, _ = io.Copy(w, response.Body) // a program that has gone needs no answer
	})
}
