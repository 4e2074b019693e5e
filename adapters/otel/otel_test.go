package otel_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	tracing "go.opentelemetry.io/otel/trace"

	"github.com/genaistore/genaistore/adapters/otel"
	"github.com/genaistore/genaistore/artifacts"
	"github.com/genaistore/genaistore/artifacts/artifactstest"
	"github.com/genaistore/genaistore/fsshare"
	"github.com/genaistore/genaistore/fsshare/fssharetest"
	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dynamomemory"
	"github.com/genaistore/genaistore/memory/memorytest"
	"github.com/genaistore/genaistore/vectors"
	"github.com/genaistore/genaistore/vectors/vectorstest"
)

// A lab keeps what an Observer tells.
type lab struct {
	*otel.Observer
	spans   *tracetest.SpanRecorder
	metrics *metric.ManualReader
}

func newLab(t testing.TB, sessions bool) *lab {
	t.Helper()
	l := &lab{spans: tracetest.NewSpanRecorder(), metrics: metric.NewManualReader()}
	var err error
	l.Observer, err = otel.New(&otel.Options{
		Traces:   trace.NewTracerProvider(trace.WithSpanProcessor(l.spans)),
		Metrics:  metric.NewMeterProvider(metric.WithReader(l.metrics)),
		Sessions: sessions,
	})
	require.NoError(t, err)
	return l
}

// attributes returns those of the only span of a name.
func (l *lab) span(t *testing.T, name string) (trace.ReadOnlySpan, map[attribute.Key]attribute.Value) {
	t.Helper()
	var found []trace.ReadOnlySpan
	for _, s := range l.spans.Ended() {
		if s.Name() == name {
			found = append(found, s)
		}
	}
	require.Len(t, found, 1, name)
	attributes := map[attribute.Key]attribute.Value{}
	for _, a := range found[0].Attributes() {
		attributes[a.Key] = a.Value
	}
	return found[0], attributes
}

func (l *lab) metric(t *testing.T, name string) metricdata.Aggregation {
	t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(t, l.metrics.Collect(t.Context(), &all))
	for _, s := range all.ScopeMetrics {
		for _, m := range s.Metrics {
			if m.Name == name {
				return m.Data
			}
		}
	}
	t.Fatalf("no metric %s", name)
	return nil
}

// A store that is observed is the store: it passes what the store passes.
func TestSuites(t *testing.T) {
	l := newLab(t, true)
	t.Run("memory", func(t *testing.T) {
		memorytest.Run(t, func(*testing.T) memory.Store { return l.Memory(&memory.InMemory{}) })
	})
	t.Run("artifacts", func(t *testing.T) {
		artifactstest.Run(t, func(*testing.T) artifacts.Store { return l.Artifacts(&artifacts.InMemory{}) })
	})
	t.Run("vectors", func(t *testing.T) {
		vectorstest.Run(t, func(t *testing.T, schema vectors.Schema) vectors.Index {
			index, err := vectors.NewInMemory(schema)
			require.NoError(t, err)
			return l.Vectors(index)
		})
	})
	t.Run("fsshare", func(t *testing.T) {
		fssharetest.Run(t, func(*testing.T) (a, b fsshare.Share) {
			s := l.Share(&fsshare.InMemory{})
			return s, s
		}, &fssharetest.Options{Every: time.Millisecond, Hold: time.Millisecond})
	})
	var methods []string
	for _, s := range l.spans.Ended() {
		methods = append(methods, s.Name())
		require.False(t, s.EndTime().IsZero())
	}
	slices.Sort(methods)
	require.Equal(t, []string{
		"artifacts.Apply", "artifacts.History", "artifacts.List", "artifacts.Open", "artifacts.Publish", "artifacts.Resolve",
		"fsshare.Inspect", "fsshare.Lock", "fsshare.Remove", "fsshare.Watch", "fsshare.WriteFile",
		"memory.Append", "memory.Delete", "memory.Find", "memory.Open", "memory.Records", "memory.Update",
		"vectors.Delete", "vectors.Describe", "vectors.Get", "vectors.List", "vectors.Put", "vectors.Query",
	}, slices.Compact(methods))
	require.Len(t, l.spans.Ended(), len(l.spans.Started()), "every span ends")
}

var session = memory.Key{Tenant: "acme", App: "travel", User: "ada", Session: "s1"}

func TestCostsAreTold(t *testing.T) {
	client := awsfake.NewDynamoDB().Client()
	_, err := dynamomemory.EnsureTable(t.Context(), client, "memory", &dynamomemory.TableOptions{NoTTL: true, NoRecovery: true})
	require.NoError(t, err)
	store, err := dynamomemory.New(client, "memory", nil)
	require.NoError(t, err)
	l := newLab(t, false)
	m := l.Memory(store)
	_, err = m.Append(t.Context(), session, memory.Entry{Messages: []memory.Message{memory.Text("user", "hello")}}, nil)
	require.NoError(t, err)
	_, attributes := l.span(t, "memory.Append")
	require.Positive(t, attributes["genaistore.requests"].AsInt64())
	require.Positive(t, attributes["genaistore.write_units"].AsFloat64())
	require.NotContains(t, attributes, attribute.Key("gen_ai.conversation.id"))

	requests := l.metric(t, "genaistore.requests").(metricdata.Sum[int64])
	require.Equal(t, attributes["genaistore.requests"].AsInt64(), requests.DataPoints[0].Value)
	require.EqualValues(t, 1, l.metric(t, "genaistore.operation.duration").(metricdata.Histogram[float64]).DataPoints[0].Count)
	for _, p := range l.metric(t, "genaistore.io").(metricdata.Sum[int64]).DataPoints {
		require.Positive(t, p.Value)
	}
}

func TestErrorsAreToldByTheirKind(t *testing.T) {
	l := newLab(t, true)
	m := l.Memory(&memory.InMemory{})
	_, err := m.Open(t.Context(), session, nil)
	require.ErrorIs(t, err, memory.ErrNotFound)
	span, attributes := l.span(t, "memory.Open")
	require.Equal(t, "not_found", attributes["error.type"].AsString())
	require.Equal(t, "s1", attributes["gen_ai.conversation.id"].AsString())
	require.Equal(t, codes.Unset, span.Status().Code, "an answer is no failure")

	_, err = m.Append(t.Context(), memory.Key{User: "secret user"}, memory.Entry{}, nil)
	require.ErrorIs(t, err, memory.ErrInvalid)
	span, attributes = l.span(t, "memory.Append")
	require.Equal(t, "invalid", attributes["error.type"].AsString())
	require.Equal(t, codes.Error, span.Status().Code)
	require.NotContains(t, fmt.Sprint(span.Status(), span.Attributes(), span.Events()), "secret", "texts of errors name users")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, m.Delete(ctx, session), context.Canceled)
	_, attributes = l.span(t, "memory.Delete")
	require.Equal(t, "canceled", attributes["error.type"].AsString())
}

func TestALoopIsOneSpan(t *testing.T) {
	l := newLab(t, false)
	store := &memory.InMemory{}
	for range 3 {
		_, err := store.Append(t.Context(), session, memory.Entry{}, nil)
		require.NoError(t, err)
	}
	all := l.Memory(store).Records(t.Context(), session, nil)
	require.Empty(t, l.spans.Started(), "nothing is read before the loop")
	for range all {
		break
	}
	_, attributes := l.span(t, "memory.Records")
	require.EqualValues(t, 1, attributes["genaistore.items"].AsInt64())
	func() {
		defer func() { require.NotNil(t, recover()) }()
		for range all {
			_ = []int{}[len(l.spans.Ended())] // a panic in the caller's code
		}
	}()
	require.Len(t, l.spans.Ended(), 2)
}

func TestSpansOfTheSDKAreChildren(t *testing.T) {
	l := newLab(t, false)
	var inner tracing.SpanContext
	store := l.Memory(spy{&memory.InMemory{}, func(ctx context.Context) { inner = tracing.SpanContextFromContext(ctx) }})
	_, err := store.Append(t.Context(), session, memory.Entry{}, nil)
	require.NoError(t, err)
	span, _ := l.span(t, "memory.Append")
	require.Equal(t, span.SpanContext(), inner)
}

func TestAFileIsReadAfterItsSpan(t *testing.T) {
	l := newLab(t, false)
	store := l.Artifacts(&artifacts.InMemory{})
	published, err := store.Publish(t.Context(), artifacts.Name{Path: "m"}, fstest.MapFS{"a": {Data: []byte("x")}}, nil)
	require.NoError(t, err)
	file, err := store.Open(t.Context(), published.Version.ID, "a")
	require.NoError(t, err)
	l.span(t, "artifacts.Open")
	b := make([]byte, 1)
	_, err = file.Read(b)
	require.NoError(t, err)
	require.NoError(t, file.Close())
}

// A spy sees the context of each Append.
type spy struct {
	memory.Store
	see func(context.Context)
}

func (s spy) Append(ctx context.Context, key memory.Key, entry memory.Entry, opts *memory.AppendOptions) (memory.Receipt, error) {
	s.see(ctx)
	return s.Store.Append(ctx, key, entry, opts)
}
