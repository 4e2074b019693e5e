package trpc_test

import (
	"context"
	"fmt"

	"trpc.group/trpc-go/trpc-agent-go/artifact"

	"github.com/genaistore/genaistore/adapters/trpc"
	"github.com/genaistore/genaistore/artifacts"
)

// What agents save are versions in an artifacts.Store, here in the process; with package
// s3artifacts they are in a bucket.
func Example() {
	ctx := context.Background()
	service := trpc.NewArtifacts(new(artifacts.InMemory), nil)
	in := artifact.SessionInfo{AppName: "travel", UserID: "ada", SessionID: "s1"}
	version, err := service.SaveArtifact(ctx, in, "plan.md", &artifact.Artifact{Data: []byte("go north"), MimeType: "text/markdown"})
	if err != nil {
		fmt.Println(err)
		return
	}
	art, err := service.LoadArtifact(ctx, in, "plan.md", &version)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("version %d: %s\n", version, art.Data)
	// Output:
	// version 0: go north
}
