package pull_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/genaistore/genaistore/artifacts"
	"github.com/genaistore/genaistore/artifacts/pull"
)

// Whoever has a list needs neither an account nor the store.
func Example() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "weights") }))
	defer server.Close()
	ctx := context.Background()

	// On the owner's side; s3artifacts.Store.WritePullList does this with signed URLs.
	var store artifacts.InMemory
	p, err := store.Publish(ctx, artifacts.Name{Path: "ranker"}, artifacts.Files(map[string][]byte{"w.bin": []byte("weights")}), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	infos, err := artifacts.Manifest(ctx, &store, p.Version.ID)
	if err != nil {
		fmt.Println(err)
		return
	}
	var list bytes.Buffer
	err = pull.Write(&list, p.Version, time.Now().Add(time.Hour), func(yield func(pull.File, error) bool) {
		f := infos[0]
		yield(pull.File{Path: f.Path, Size: f.Size, Digest: f.Digest, MediaType: f.MediaType, URL: server.URL + "/signed"}, nil)
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	// On the other side.
	pulled, err := pull.Open(&list, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	data, err := fs.ReadFile(artifacts.FS(ctx, pulled, pulled.Version().ID), "w.bin")
	fmt.Printf("%s of %s, %v\n", data, pulled.Version().ID, err)
	// Output:
	// weights of ranker@1, <nil>
}
