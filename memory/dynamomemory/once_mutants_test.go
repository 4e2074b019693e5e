package dynamomemory_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/hlc"
	"github.com/genaistore/genaistore/memory/dynamomemory"
)

// A mutant stands between a Store and its client, and makes another protocol of what
// the Store asks for.
type mutant struct {
	dynamomemory.Client

	w     *world
	p     *caller
	clock hlc.Clock

	put   func(ctx context.Context, m *mutant, in *dynamodb.PutItemInput) (*dynamodb.PutItemOutput, error)
	moves string // what is added to the condition under which a marker is moved on
}

func (m *mutant) PutItem(ctx context.Context, in *dynamodb.PutItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	if m.put == nil {
		return m.Client.PutItem(ctx, in)
	}
	return m.put(ctx, m, in)
}

func (m *mutant) UpdateItem(ctx context.Context, in *dynamodb.UpdateItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error) {
	if strings.HasPrefix(stringIn(in.Key, "sk"), "K#") && m.moves != "" {
		in.ConditionExpression = new(*in.ConditionExpression + m.moves)
	}
	return m.Client.UpdateItem(ctx, in)
}

func stringIn(it map[string]types.AttributeValue, name string) string {
	if s, ok := it[name].(*types.AttributeValueMemberS); ok {
		return s.Value
	}
	return ""
}

func isMarker(in *dynamodb.PutItemInput) bool {
	return strings.HasPrefix(stringIn(in.Item, "sk"), "K#")
}
func isFence(in *dynamodb.PutItemInput) bool { return stringIn(in.Item, "k") == "f" }
func isRecord(in *dynamodb.PutItemInput) bool {
	return strings.HasPrefix(stringIn(in.Item, "sk"), "E#") && !isFence(in)
}

func withoutCondition(in *dynamodb.PutItemInput) *dynamodb.PutItemInput {
	return &dynamodb.PutItemInput{TableName: in.TableName, Item: in.Item}
}

// eventFirst puts the record before the marker, where there is none yet.
func eventFirst(ctx context.Context, m *mutant, in *dynamodb.PutItemInput) (*dynamodb.PutItemOutput, error) {
	if isMarker(in) {
		for _, it := range m.w.items() {
			if strings.HasPrefix(it["sk"].S, "K#") {
				return m.Client.PutItem(ctx, in)
			}
		}
		m.p.later = in
		return &dynamodb.PutItemOutput{}, nil
	}
	out, err := m.Client.PutItem(ctx, in)
	if marker := m.p.later; err == nil && marker != nil {
		m.p.later = nil
		if _, err := m.Client.PutItem(ctx, marker); err != nil {
			return nil, err
		}
	}
	return out, err
}

// newID writes the marker anew, whatever it says.
func newID(ctx context.Context, m *mutant, in *dynamodb.PutItemInput) (*dynamodb.PutItemOutput, error) {
	if isMarker(in) {
		in = withoutCondition(in)
	}
	return m.Client.PutItem(ctx, in)
}

func overwrites(ctx context.Context, m *mutant, in *dynamodb.PutItemInput) (*dynamodb.PutItemOutput, error) {
	if isRecord(in) {
		in = withoutCondition(in)
	}
	return m.Client.PutItem(ctx, in)
}

// noTombstone moves the marker on and leaves nothing at the old place.
func noTombstone(ctx context.Context, m *mutant, in *dynamodb.PutItemInput) (*dynamodb.PutItemOutput, error) {
	if isFence(in) {
		return &dynamodb.PutItemOutput{}, nil
	}
	return m.Client.PutItem(ctx, in)
}

// noFence has the Store believe that the id in the marker is a young one, and puts the
// record under the old one.
func noFence(ctx context.Context, m *mutant, in *dynamodb.PutItemInput) (*dynamodb.PutItemOutput, error) {
	if id, ok := strings.CutPrefix(stringIn(in.Item, "sk"), "E#"); ok && m.p.alias[id] != "" {
		in.Item = maps.Clone(in.Item)
		in.Item["sk"] = &types.AttributeValueMemberS{Value: "E#" + m.p.alias[id]}
	}
	out, err := m.Client.PutItem(ctx, in)
	if unmet := new(types.ConditionalCheckFailedException); isMarker(in) && errors.As(err, &unmet) {
		young, clockErr := m.clock.Next(time.Now())
		if clockErr != nil {
			return nil, clockErr
		}
		m.p.alias[young.String()] = stringIn(unmet.Item, "i")
		unmet.Item = maps.Clone(unmet.Item)
		unmet.Item["i"] = &types.AttributeValueMemberS{Value: young.String()}
		return nil, unmet
	}
	return out, err
}

func (m *mutant) BatchGetItem(ctx context.Context, in *dynamodb.BatchGetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error) {
	young := map[string]string{}
	for _, key := range in.RequestItems[tableName].Keys {
		if id, ok := strings.CutPrefix(stringIn(key, "sk"), "E#"); ok && m.p.alias[id] != "" {
			key["sk"] = &types.AttributeValueMemberS{Value: "E#" + m.p.alias[id]}
			young["E#"+m.p.alias[id]] = "E#" + id
		}
	}
	out, err := m.Client.BatchGetItem(ctx, in)
	if err != nil {
		return nil, err
	}
	for _, it := range out.Responses[tableName] {
		if id, ok := young[stringIn(it, "sk")]; ok {
			it["sk"] = &types.AttributeValueMemberS{Value: id}
		}
	}
	return out, nil
}

// Each protocol that lacks a part of ours is found out, and by what that part is for.
func TestEachPartOfTheProtocolIsNeeded(t *testing.T) {
	for _, tt := range []struct {
		name  string
		put   func(ctx context.Context, m *mutant, in *dynamodb.PutItemInput) (*dynamodb.PutItemOutput, error)
		moves string
		scope scope
		want  string
	}{
		{name: "the record before the marker", put: eventFirst, scope: scope{callers: 2, deaths: 1}, want: "the request has 2 records"},
		{name: "a new id for each attempt", put: newID, scope: scope{callers: 2}, want: "the request has 2 records"},
		{name: "no fence", put: noFence, scope: scope{callers: 2, ticks: 1, reads: 1, deaths: 1}, want: "which the reader had passed before it looked"},
		{name: "a fence without a tombstone", put: noTombstone, scope: scope{callers: 2, ticks: 1}, want: "the request has 2 records"},
		{name: "a marker that is moved on by all", moves: " OR attribute_exists(#0)", scope: scope{callers: 3, ticks: 1}, want: "the request has 2 records"},
		{name: "a record that replaces another", put: overwrites, scope: scope{callers: 2}, want: "caller"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := tt.scope
			s.mutant = func(w *world, p *caller, real dynamomemory.Client) dynamomemory.Client {
				return &mutant{Client: real, w: w, p: p, put: tt.put, moves: tt.moves}
			}
			found, problem := run(t, s)
			require.ErrorContains(t, problem, tt.want)
			t.Logf("found in schedule %d, after %d states: %v", found.schedules, len(found.seen), problem)
		})
	}
}
