// Package einotests runs Eino's own tests of graphs and agents on our checkpoints.
//
// The tests make their stores themselves, as small types with a map. In a copy of the
// framework each of these types hands what it is given to eino.CheckPoints too, and
// returns what that returns; all else stays as it is. GENAISTORE_KIT=memory runs them.
package einotests
