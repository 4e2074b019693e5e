// Command assistant answers questions about your documents and remembers the
// conversation. It is a small program on the four stores of genaistore: passages
// in a vector index, the conversation in memory, index checkpoints as artifact
// versions, its configuration on a share.
//
//	assistant ask "Which countries border Namibia?"
//
// Without documents of your own it knows an extract of The World Factbook. It
// works offline: passages are found by word vectors and BM25, and answers are
// sentences quoted from them. With --model and --embed-model it uses Amazon
// Bedrock.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], terminal{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}

// A terminal is what the program talks to.
type terminal struct {
	in       io.Reader
	out, err io.Writer
}

// printf prints a result. A terminal that is gone is no error: there is nobody
// to tell.
func (t terminal) printf(format string, args ...any) { _, _ = fmt.Fprintf(t.out, format, args...) }

// warnf prints one line that is no result.
func (t terminal) warnf(format string, args ...any) { _, _ = fmt.Fprintf(t.err, format+"\n", args...) }

// Exit codes, as the shell knows them.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// errUsage is the cause of errors in how the program was called.
var errUsage = errors.New("usage")

// A command line, as kong reads it.
type commandLine struct {
	Backend    string `default:"memory" enum:"memory,local-servers,aws" help:"Where the stores are: memory, local-servers or aws."`
	State      string `default:".assistant" placeholder:"DIR" help:"Folder that keeps the in-memory stores between commands (${default})."`
	DynamoDB   string `name:"dynamodb" env:"ASSISTANT_DYNAMODB" placeholder:"URL" help:"Where DynamoDB Local is, for --backend local-servers."`
	Table      string `env:"ASSISTANT_TABLE" default:"genaistore-assistant" help:"DynamoDB table of the conversations (${default})."`
	S3         string `name:"s3" env:"ASSISTANT_S3" placeholder:"URL" help:"Where versitygw or another S3 server is, for the checkpoints of --backend local-servers."`
	S3Key      string `name:"s3-key" env:"ASSISTANT_S3_KEY" default:"genaistoretestaccess" help:"Access key of that server (${default}, as the one that serve starts has it)."`
	S3Secret   string `name:"s3-secret" env:"ASSISTANT_S3_SECRET" default:"genaistoretestsecret" help:"Its secret."`
	Bucket     string `env:"ASSISTANT_BUCKET" help:"S3 bucket of the checkpoints; without one --backend aws keeps them in the state folder."`
	Tenant     string `default:"demo" help:"Tenant of the conversation."`
	User       string `default:"me" help:"User of the conversation."`
	Session    string `default:"main" help:"Session of the conversation."`
	Model      string `env:"ASSISTANT_MODEL" placeholder:"ID" help:"Amazon Bedrock model that writes answers; without one they are quoted offline."`
	EmbedModel string `env:"ASSISTANT_EMBED_MODEL" placeholder:"ID" help:"Amazon Bedrock model that embeds; without one word vectors do it offline."`

	setsUp bool // the command makes what the others need

	Setup      setupCommand      `cmd:"" help:"Make the table and the bucket that --backend aws needs, or check them."`
	Ingest     ingestCommand     `cmd:"" help:"Read documents into the index: Markdown, text, JSON passages."`
	Ask        askCommand        `cmd:"" help:"Answer one question with sources."`
	Chat       chatCommand       `cmd:"" help:"Answer questions until the input ends."`
	History    historyCommand    `cmd:"" help:"Show the conversation."`
	Sessions   sessionsCommand   `cmd:"" help:"List the user's conversations, newest first."`
	Search     searchCommand     `cmd:"" help:"Search past conversations."`
	Forget     forgetCommand     `cmd:"" help:"Erase every conversation of the user."`
	Checkpoint checkpointCommand `cmd:"" help:"Publish, list, load and roll back versions of the index."`
	Share      shareCommand      `cmd:"" help:"Publish the configuration to a share, or show it."`
}

// A command is one verb.
type command interface {
	run(ctx context.Context, a *assistant) error
}

// run is main without the process: it returns the exit code.
func run(ctx context.Context, args []string, t terminal) int {
	err := execute(ctx, args, t)
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errUsage):
		t.warnf("assistant: %s (see assistant --help)", oneLine(err))
		return exitUsage
	}
	t.warnf("assistant: %s", oneLine(err))
	return exitFailed
}

func oneLine(err error) string {
	text := strings.TrimPrefix(err.Error(), errUsage.Error()+": ")
	return strings.Join(strings.Fields(text), " ")
}

func execute(ctx context.Context, args []string, t terminal) (err error) {
	var line commandLine
	helped := false
	parser, err := kong.New(&line, kong.Name("assistant"), kong.Writers(t.out, t.err),
		kong.Description("Answers questions about your documents, with sources, and remembers the conversation."),
		kong.Exit(func(int) { helped = true }))
	if err != nil {
		return err
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if helped {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	verb, ok := reflect.TypeAssert[command](parsed.Selected().Target.Addr())
	if !ok {
		return fmt.Errorf("%w: %s is no command", errUsage, parsed.Command())
	}
	_, line.setsUp = verb.(*setupCommand)
	a, state, err := open(ctx, line, t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, state.close()) }()
	if err := verb.run(ctx, a); err != nil || !a.changed {
		return err
	}
	return state.save(a.saved)
}
