// Package otel observes stores with OpenTelemetry: a span and measurements for each
// call of memory.Store, artifacts.Store, vectors.Index and fsshare.Share.
//
// A wrapped store is the store: same results, same errors, same costs. A loop over an
// iterator is one span, from its beginning to its end. The spans of the AWS SDK's own
// instrumentation become children of these.
//
// # What is told
//
// Spans are named for the package and the method, as in "memory.Append". They have the
// costs of the call, as package meter counts them, and error.type where it failed. What
// is not found and a conflict are answers: their spans have no error status.
//
// Instruments:
//
//	genaistore.operation.duration  histogram, s    by genaistore.operation and error.type
//	genaistore.requests            counter         API calls, by genaistore.operation
//	genaistore.read_units          counter         DynamoDB read capacity units
//	genaistore.write_units         counter         DynamoDB write capacity units
//	genaistore.io                  counter, By     bytes of bodies, by genaistore.operation and network.io.direction
//
// Contents, keys and the texts of errors are in neither, because they name tenants and
// users; with [Options.Sessions] the spans of package memory have the session's id.
package otel

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/meter"
)

const scope = "github.com/genaistore/genaistore/adapters/otel"

// Options says where observations go. A nil *Options means the zero value.
type Options struct {
	// Traces and Metrics are where spans and measurements go; nil means the global
	// providers, as they are when [New] is called.
	Traces  trace.TracerProvider
	Metrics metric.MeterProvider
	// Sessions puts the session's id into the spans of package memory, as
	// gen_ai.conversation.id.
	Sessions bool
}

// An Observer wraps stores. It is safe for concurrent use; one is enough.
type Observer struct {
	opts     Options
	tracer   trace.Tracer
	duration metric.Float64Histogram
	requests metric.Int64Counter
	reads    metric.Float64Counter
	writes   metric.Float64Counter
	io       metric.Int64Counter
}

// New returns an Observer. An error is the metrics provider's, which refuses an
// instrument.
func New(options *Options) (*Observer, error) {
	o := &Observer{}
	if options != nil {
		o.opts = *options
	}
	if o.opts.Traces == nil {
		o.opts.Traces = otel.GetTracerProvider()
	}
	if o.opts.Metrics == nil {
		o.opts.Metrics = otel.GetMeterProvider()
	}
	o.tracer = o.opts.Traces.Tracer(scope)
	m := o.opts.Metrics.Meter(scope)
	var errs [5]error
	o.duration, errs[0] = m.Float64Histogram("genaistore.operation.duration", metric.WithUnit("s"), metric.WithDescription("How long calls took."))
	o.requests, errs[1] = m.Int64Counter("genaistore.requests", metric.WithUnit("{request}"), metric.WithDescription("API calls."))
	o.reads, errs[2] = m.Float64Counter("genaistore.read_units", metric.WithUnit("{unit}"), metric.WithDescription("DynamoDB read capacity units."))
	o.writes, errs[3] = m.Float64Counter("genaistore.write_units", metric.WithUnit("{unit}"), metric.WithDescription("DynamoDB write capacity units."))
	o.io, errs[4] = m.Int64Counter("genaistore.io", metric.WithUnit("By"), metric.WithDescription("Bytes of request and response bodies."))
	return o, errors.Join(errs[:]...)
}

// A call is one that is under way.
type call struct {
	*Observer
	ctx   context.Context //nolint:containedctx // of the span, whose measurements belong to it
	name  string
	span  trace.Span
	meter *meter.Meter
	start time.Time
}

func (o *Observer) begin(ctx context.Context, name string, attributes ...attribute.KeyValue) (context.Context, *call) {
	c := &call{Observer: o, name: name, meter: &meter.Meter{}, start: time.Now()}
	ctx, c.span = o.tracer.Start(ctx, name, trace.WithAttributes(attributes...))
	c.ctx = ctx
	return meter.With(ctx, c.meter), c
}

func (c *call) end(err error) {
	cost := c.meter.Cost()
	operation := attribute.String("genaistore.operation", c.name)
	measured := []attribute.KeyValue{operation}
	if kind := kindOf(err); kind != "" {
		failed := attribute.String("error.type", kind)
		measured = append(measured, failed)
		c.span.SetAttributes(failed)
		if !errors.Is(err, memory.ErrNotFound) && !errors.Is(err, memory.ErrConflict) {
			c.span.SetStatus(codes.Error, kind)
		}
	}
	c.duration.Record(c.ctx, time.Since(c.start).Seconds(), metric.WithAttributes(measured...))
	by := metric.WithAttributes(operation)
	c.requests.Add(c.ctx, cost.Requests, by)
	c.reads.Add(c.ctx, cost.ReadUnits, by)
	c.writes.Add(c.ctx, cost.WriteUnits, by)
	c.io.Add(c.ctx, cost.BytesSent, metric.WithAttributes(operation, attribute.String("network.io.direction", "transmit")))
	c.io.Add(c.ctx, cost.BytesReceived, metric.WithAttributes(operation, attribute.String("network.io.direction", "receive")))
	if cost != (meter.Cost{}) {
		c.span.SetAttributes(
			attribute.Int64("genaistore.requests", cost.Requests),
			attribute.Float64("genaistore.read_units", cost.ReadUnits),
			attribute.Float64("genaistore.write_units", cost.WriteUnits),
		)
	}
	c.span.End()
}

// kindOf names the kind of an error, which is one of a few. The four contracts have
// the same six; those of package memory stand for all.
func kindOf(err error) string {
	if err == nil {
		return ""
	}
	for _, k := range []struct {
		err  error
		name string
	}{
		{context.Canceled, "canceled"},
		{context.DeadlineExceeded, "deadline_exceeded"},
		{memory.ErrNotFound, "not_found"},
		{memory.ErrConflict, "conflict"},
		{memory.ErrInvalid, "invalid"},
		{memory.ErrThrottled, "throttled"},
		{memory.ErrCorrupt, "corrupt"},
		{memory.ErrDenied, "denied"},
		{fs.ErrInvalid, "invalid"},
	} {
		if errors.Is(err, k.err) {
			return k.name
		}
	}
	return "_OTHER"
}

// observe observes a call that returns a value and an error.
func observe[T any](ctx context.Context, o *Observer, name string, do func(context.Context) (T, error), attributes ...attribute.KeyValue) (T, error) {
	ctx, c := o.begin(ctx, name, attributes...)
	v, err := do(ctx)
	c.end(err)
	return v, err
}

// loop observes each loop over an iterator, until its end or the caller's. The store is
// asked for the iterator at once, because it looks at its arguments then.
func loop[T any](ctx context.Context, o *Observer, name string, seq func(context.Context) iter.Seq2[T, error], attributes ...attribute.KeyValue) iter.Seq2[T, error] {
	late := &lateContext{Context: ctx}
	inner := seq(late) //nolint:contextcheck // ctx is in it
	return func(yield func(T, error) bool) {
		ctx, c := o.begin(ctx, name, attributes...)
		late.loop.Store(&ctx)
		var last error
		n := int64(0)
		defer func() { // also if the caller's code panics
			c.span.SetAttributes(attribute.Int64("genaistore.items", n))
			c.end(last)
		}()
		for v, err := range inner {
			if last = err; err == nil {
				n++
			}
			if !yield(v, err) {
				return
			}
		}
	}
}

// A lateContext is the context of an iterator, which has the span and the meter of the
// loop that runs, once one does: of two at once, those of the later one.
type lateContext struct {
	context.Context //nolint:containedctx // it is one
	loop            atomic.Pointer[context.Context]
}

func (l *lateContext) Value(key any) any {
	if ctx := l.loop.Load(); ctx != nil {
		return (*ctx).Value(key)
	}
	return l.Context.Value(key)
}
