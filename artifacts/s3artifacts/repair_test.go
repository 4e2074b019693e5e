package s3artifacts_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/artifacts"
	"github.com/genaistore/genaistore/artifacts/s3artifacts"
	"github.com/genaistore/genaistore/internal/awsfake"
)

// stored returns the keys of a folder of the name, the current ones.
func stored(t *testing.T, client *s3.Client, folder string) []string {
	t.Helper()
	out, err := client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: new("bucket"), Prefix: new("a/acme/llm/ranker/=/" + folder)})
	require.NoError(t, err)
	var keys []string
	for _, o := range out.Contents {
		keys = append(keys, *o.Key)
	}
	return keys
}

// Files that somebody deleted or overwrote are read all the same, and are current
// again after a Repair, so that no lifecycle rule takes them.
func TestRepairMakesFilesCurrentAgain(t *testing.T) {
	client := awsfake.NewS3().Client()
	_, err := s3artifacts.EnsureBucket(t.Context(), client, "bucket", nil)
	require.NoError(t, err)
	store := open(t, client, &s3artifacts.Options{PartSize: 5 << 20})
	large := bytes.Repeat([]byte("0123456789abcdef"), 21<<16) // two leaves
	many := map[string][]byte{"large": large}
	for i := range 900 { // a list of files that is an object of its own
		many[strings.Repeat("d", 40)+string(rune('a'+i%26))+strings.Repeat("x", i/26)] = []byte{byte(i), byte(i >> 8)}
	}
	p := publish(t, store, artifacts.Files(many), nil)
	was := len(stored(t, client, "b/"))
	require.Len(t, stored(t, client, "m/"), 1)

	x := &tampered{T: t, client: client}
	keys := stored(t, client, "b/")
	x.remove(keys[0])
	x.write(keys[1], []byte("foreign"))
	x.write(keys[2], []byte("foreign"))
	x.remove(keys[2])
	x.write(keys[2], []byte("foreign again"))
	x.remove(keys[2])
	x.remove(stored(t, client, "m/")[0])

	fresh := open(t, client, nil)
	require.NoError(t, everything(t.Context(), fresh))
	done, err := fresh.Repair(t.Context(), ranker)
	require.NoError(t, err)
	require.Equal(t, s3artifacts.Repaired{Objects: 4}, done)
	require.Len(t, stored(t, client, "b/"), was)
	require.Equal(t, keys, stored(t, client, "b/"))
	got, err := client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: new("bucket"), Key: &keys[1]})
	require.NoError(t, err)
	require.NotEqual(t, int64(len("foreign")), *got.ContentLength)
	done, err = fresh.Repair(t.Context(), ranker)
	require.NoError(t, err)
	require.Equal(t, s3artifacts.Repaired{}, done)
	require.NoError(t, everything(t.Context(), open(t, client, nil)))

	// Gone for good is said, and what a deleted version needed is not missed.
	versions, err := client.ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: new("bucket"), Prefix: &keys[3]})
	require.NoError(t, err)
	_, err = client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: new("bucket"), Key: &keys[3], VersionId: versions.Versions[0].VersionId})
	require.NoError(t, err)
	done, err = fresh.Repair(t.Context(), ranker)
	require.NoError(t, err)
	require.Equal(t, s3artifacts.Repaired{Lost: []string{strings.TrimPrefix(keys[3], "a/acme/llm/ranker/=/")}}, done)
	_, err = fresh.Apply(t.Context(), ranker, artifacts.Delete{Version: p.Version.ID.Number})
	require.NoError(t, err)
	done, err = fresh.Repair(t.Context(), ranker)
	require.NoError(t, err)
	require.Equal(t, s3artifacts.Repaired{}, done)
}

func TestRepairSaysWhatIsLostWithoutVersions(t *testing.T) {
	client := awsfake.NewS3("bucket").Client()
	store := open(t, client, nil)
	publish(t, store, files("a", "1", "b", "2"), nil)
	x := &tampered{T: t, client: client}
	key := stored(t, client, "b/")[1]
	x.remove(key)
	done, err := store.Repair(t.Context(), ranker)
	require.NoError(t, err)
	require.Equal(t, s3artifacts.Repaired{Lost: []string{strings.TrimPrefix(key, "a/acme/llm/ranker/=/")}}, done)
}
