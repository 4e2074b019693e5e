package integration

// moto keeps and lists vectors and has no queries.
func motoBreaks() map[string]string {
	const forgetsKeys = "which keys are not filterable is forgotten"
	breaks := map[string]string{
		"the greatest dimension works":                               "4,096 dimensions are refused",
		"filterable metadata has at most 2 KB":                       forgetsKeys,
		"all metadata has at most 40 KB":                             forgetsKeys,
		"a bad Query is invalid whatever the index holds":            forgetsKeys,
		"a filter on a non-filterable key is invalid":                forgetsKeys,
		"an empty or mixed selection is invalid and removes nothing": forgetsKeys,
		"Describe returns what the index was made for":               forgetsKeys,
	}
	for _, promise := range []string{
		"Put replaces a vector whole",
		"repeating a Put is safe",
		"a zero vector is one like any under euclidean",
		"one dimension works",
		"the length of vectors does not matter under cosine",
		"TopK is from 1 to 10,000",
		"Fields select what Get, Query and List return",
		"without options reads return keys and metadata",
		"what a read returns is its caller's",
		"Query yields the nearest first by cosine",
		"Query yields the nearest first by straight-line distance",
		"every dimension counts under cosine",
		"every dimension counts under euclidean",
		"Query yields ten unless TopK says otherwise",
		"Query yields more than a page",
		"Query yields all if there are fewer than TopK",
		"Query of an empty index yields none",
		"Query yields equal distances in an order that repeats",
		"Query never yields one that does not match",
		"Query with a filter that none matches yields none",
		"Query finds what was just written and not what was deleted",
		"Query searches when the loop starts, and again with each loop",
		"Query may be left early",
		"the loop over a Query may write",
		"Query keeps nothing of its arguments",
		"the zero filter selects all",
		"Equal selects an equal value and a list with one",
		"values of different types are different",
		"numbers compare as float64",
		"NotEqual selects a value that is there and differs",
		"In selects what Equal selects for one of its values",
		"NotIn selects a value that is there and in none",
		"In with no values selects nothing, NotIn with none what exists",
		"an order selects numbers and no lists, strings or booleans",
		"Exists selects what has the key, Missing what lacks it",
		"StartsWith selects strings that begin so, and lists with one",
		"OrMissing adds what lacks the key",
		"And selects what all select",
		"Or selects what any selects, and of nothing nothing",
		"And and Or nest",
		"filters carry any number of values",
		"filters of many terms are answered",
		"a deleted key can be put again",
		"an index that shrank and grew answers right",
		"a loop ends with the error when its context is cancelled",
		"methods may be called at the same time",
	} {
		breaks[promise] = "QueryVectors is answered with 404"
	}
	return breaks
}
