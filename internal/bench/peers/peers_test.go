package peers

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/integration/servers"
	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dynamomemory"
	"github.com/genaistore/genaistore/meter"
)

func TestMain(m *testing.M) { servers.Main(m) }

// A kept conversation is what a peer reports of it.
type kept struct {
	Wrote, Read usage
	Last        []string // what a reader of the last 20 got
}

type usage struct {
	Requests              int64
	WriteUnits, ReadUnits float64
	Sent, Received        int64
}

const (
	peerTurns  = 200
	peerWindow = 20
	// The times that our write units go into those of the first peer, at least.
	peerFactor = 20
)

// Peers keep the same conversation on the same server. What they ask of it is counted
// as the server reports it, whether or not they look at that.
func TestAConversationCostsLittleBesideThePeers(t *testing.T) {
	client := servers.DynamoDBLocal(t)
	turns := make([]string, peerTurns)
	for i := range turns {
		turns[i] = peerTurn(i)
	}
	ours := keepOurs(t, client, turns)
	rows := []struct{ name, peer string }{
		{"LangChain DynamoDBChatMessageHistory", "langchain"},
		{"the same, question and answer together", "langchain-pairs"},
		{"LangGraph DynamoDBSaver", "langgraph"},
		{"the same, compressed", "langgraph-compressed"},
	}
	table := &strings.Builder{}
	w := tabwriter.NewWriter(table, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%d turns of 0.9 KB\trequests\tWCU\tRCU\tKB sent\tlast %d: requests\tRCU\tKB received\n", peerTurns, peerWindow)
	row := func(name string, k kept) {
		require.Equal(t, turns[peerTurns-peerWindow:], k.Last, name)
		fmt.Fprintf(w, "%s\t%d\t%.1f\t%.1f\t%d\t%d\t%.1f\t%d\n", name,
			k.Wrote.Requests, k.Wrote.WriteUnits, k.Wrote.ReadUnits, k.Wrote.Sent>>10, k.Read.Requests, k.Read.ReadUnits, k.Read.Received>>10)
	}
	row("memory/dynamomemory", ours)
	require.EqualValues(t, 1, ours.Read.Requests)
	for i, r := range rows {
		theirs := keepTheirs(t, client, r.peer, turns)
		row(r.name, theirs)
		if i < 2 {
			require.GreaterOrEqual(t, theirs.Wrote.WriteUnits, peerFactor*ours.Wrote.WriteUnits, r.name)
		}
		require.Greater(t, theirs.Wrote.WriteUnits, ours.Wrote.WriteUnits, r.name)
	}
	require.NoError(t, w.Flush())
	fmt.Print(table)
}

// peerTurn is the text of a turn: always the same, and as hard to compress as a
// support case with its names and numbers.
func peerTurn(n int) string {
	words := strings.Fields("the order was shipped on Monday and should have arrived by now however our carrier reports a delay at " +
		"the depot in Leeds so please allow two more working days before you ask for a refund or a replacement of your parcel")
	var b strings.Builder
	fmt.Fprintf(&b, "turn %d:", n)
	for i, x := 0, uint32(n+1); b.Len() < 900; i++ {
		x = x*1664525 + 1013904223
		fmt.Fprintf(&b, " %s", words[x>>16%uint32(len(words))])
		if i%6 == 5 {
			fmt.Fprintf(&b, " %06d", x>>12)
		}
	}
	return b.String()[:900]
}

// keepOurs writes with one Store and reads with another, as another process would.
func keepOurs(t *testing.T, client *dynamodb.Client, turns []string) kept {
	t.Helper()
	table := servers.Unique(t, "memory")
	_, err := dynamomemory.EnsureTable(t.Context(), client, table, &dynamomemory.TableOptions{NoRecovery: true})
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := client.DeleteTable(context.WithoutCancel(t.Context()), &dynamodb.DeleteTableInput{TableName: &table})
		require.NoError(t, err)
	})
	writer, err := dynamomemory.New(client, table, nil)
	require.NoError(t, err)
	reader, err := dynamomemory.New(client, table, nil)
	require.NoError(t, err)
	key := memory.Key{Tenant: "acme", App: "help", User: "ada", Session: "s1"}

	var wrote, read meter.Meter
	for i, text := range turns {
		role := []string{"user", "assistant"}[i%2]
		_, err := writer.Append(meter.With(t.Context(), &wrote), key, memory.Entry{Messages: []memory.Message{memory.Text(role, text)}}, nil)
		require.NoError(t, err)
	}
	window, err := reader.Open(meter.With(t.Context(), &read), key, &memory.WindowOptions{Last: peerWindow})
	require.NoError(t, err)
	var last []string
	for _, m := range window.Messages() {
		last = append(last, m.Parts[0].Text)
	}
	return kept{Wrote: usageOf(&wrote), Read: usageOf(&read), Last: last}
}

func usageOf(m *meter.Meter) usage {
	c := m.Cost()
	return usage{Requests: c.Requests, WriteUnits: c.WriteUnits, ReadUnits: c.ReadUnits, Sent: c.BytesSent, Received: c.BytesReceived}
}

func keepTheirs(t *testing.T, client *dynamodb.Client, peer string, turns []string) kept {
	t.Helper()
	options := client.Options()
	who, err := options.Credentials.Retrieve(t.Context())
	require.NoError(t, err)
	texts, err := json.Marshal(turns)
	require.NoError(t, err)
	cmd := servers.Python(t, servers.NamePeers, filepath.Join("testdata", "converse.py"), peer, servers.Unique(t, peer))
	cmd.Env = append(cmd.Env,
		"AWS_REGION="+options.Region, "AWS_DEFAULT_REGION="+options.Region, "AWS_EC2_METADATA_DISABLED=true",
		"AWS_ACCESS_KEY_ID="+who.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+who.SecretAccessKey)
	if who.SessionToken != "" {
		cmd.Env = append(cmd.Env, "AWS_SESSION_TOKEN="+who.SessionToken)
	}
	if options.BaseEndpoint != nil {
		cmd.Env = append(cmd.Env, "AWS_ENDPOINT_URL_DYNAMODB="+*options.BaseEndpoint)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(texts), &stdout, &stderr
	require.NoError(t, cmd.Run(), "%s: %s", peer, &stderr)
	var k kept
	require.NoError(t, json.Unmarshal(stdout.Bytes(), &k), "%s: %s", peer, &stdout)
	require.False(t, slices.Contains(k.Last, ""), peer)
	return k
}
