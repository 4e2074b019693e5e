// Package dynamomemory keeps the conversations of package memory in one Amazon
// DynamoDB table.
//
//	store, err := dynamomemory.New(dynamodb.NewFromConfig(cfg), "memory", nil)
//
// An Append is one conditional Put, and an Open is one strongly consistent Query,
// whatever the length of the conversation. [EnsureTable] makes the table.
//
// # The table
//
// Each part of a key is percent-encoded, so that no id can forge a separator.
//
//	session    pk = T#<tenant>#S#<app>#<user>#<session>
//	  A#<id>         notes on a record, in both indexes
//	  C#<id>#...     chunk of a large record, written before the record
//	  E#<id>         a record, or the tombstone of one
//	  G, H, HS       gist, head, and the state as the records up to one have made it
//	  K#<hash>       the record id of a request id
//	  TL             with a cache: the ids of the newest records
//	directory  pk = T#<tenant>#D#<app>#<shard>  sk = <user>#<session>
//	user, app  pk = T#<tenant>#U#<app>#<user> and T#<tenant>#A#<app>  sk = STATE
//
// E#, G, H and HS are neighbours: read backwards from HS they are all that an Open
// needs. Everything expires by DynamoDB's time to live, and reads leave out what has
// expired and is still there.
//
// # What it costs
//
// In write and read capacity units, for records of 0.9 KB, as DynamoDB reports them;
// package costtest asserts each line.
//
//	append                                              1 request   1 WCU
//	first append of a session, or after five minutes    3           3
//	append with a request id, or an expected version    2           2
//	append that must find the session                   2           1        1 RCU
//	append with session state                           1           1
//	the first one of a session, or of a process         2           2
//	append with user or app state, each                 +1          +1
//	the first one of a process that has not read it     +2          +1       +1
//	Create                                              2           2
//	open: head, state, gist, last 20                    1                    6
//	the same with the states of user and app            2                    8
//	open with an earlier window in Held                 1                    1
//	list 50 sessions of a user                          1                    3
//	50 records by intent: four shards, and the head     5                    3.5
//	10 records by sentiment: head, index, records       3                    12
//	annotate: head and record, then the notes           2           3        2
//	set a title: read, head, directory                  3           2        1
//	set session state: read, then a transaction         2           4        1
//	set user or app state: read, write                  2           1        1
//
// Where a table refuses transactions, see Options.NoTransactions, an Update of several
// items writes the head, then each of the others, and the head again.
//
// A Rewind is an Update of the head, and then a write for each record that goes; a
// Fork a write for each record that it copies.
//
// # What happens at once
//
// Records never conflict. Changes by Update of one session are made one after the
// other, and again where another process was faster. A [Store] may be used by many
// goroutines and makes none that outlives a call.
//
// A process that dies between two writes leaves nothing half done that anyone can see:
// a session that is listed and does not open yet, a copy that nobody sees, items with an
// expiry. The next call that meets them goes on with them or removes them.
package dynamomemory
