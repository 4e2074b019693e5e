package main

import (
	"strings"
	"unicode"

	"github.com/genaistore/genaistore/memory"
)

// annotator is what the notes of this program say found them out.
const annotator = "offline-lexicon:1"

// Intents that the offline annotator knows.
const (
	intentGreeting  = "greeting"
	intentThanks    = "thanks"
	intentComplaint = "complaint"
	intentQuestion  = "question"
	intentStatement = "statement"
)

// Words that carry an opinion, by sign: a small lexicon that stands in for
// Amazon Comprehend.
const (
	praise    = " good great excellent helpful nice love loved like thanks thank perfect wonderful amazing clear useful correct right best happy fine brilliant "
	complaint = " bad wrong terrible useless awful hate hated poor confusing unclear incorrect worst angry broken missing stupid slow never disappointing disappointed "
	negations = " not no never isn't wasn't don't doesn't didn't hardly "
	greetings = " hello hi hey greetings morning evening "
	asking    = " who what when where which why how whose whom is are was were do does did can could will would should has have name list tell explain describe show give compare "
)

// annotate finds the intent and the sentiment of what a user said.
func annotate(text string) memory.Notes {
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && r != '\'' })
	score := sentiment(words)
	return memory.Notes{Intent: intent(words, text, score), Sentiment: &score, Language: "en", Model: annotator}
}

// sentiment is the balance of praise and complaint from -1 to 1; a negation
// turns the two words after it around.
func sentiment(words []string) float64 {
	sum, hits := 0.0, 0.0
	negated := 0
	for _, w := range words {
		sign := 0.0
		switch {
		case contains(complaint, w):
			sign = -1
		case contains(praise, w):
			sign = 1
		}
		if negated > 0 {
			sign, negated = -sign, negated-1
		}
		if contains(negations, w) {
			negated = 2
		}
		if sign != 0 {
			sum, hits = sum+sign, hits+1
		}
	}
	if hits == 0 {
		return 0
	}
	return sum / hits
}

func intent(words []string, text string, score float64) string {
	if len(words) == 0 {
		return intentStatement
	}
	asks := strings.HasSuffix(strings.TrimSpace(text), "?") || contains(asking, words[0])
	switch {
	case asks:
		return intentQuestion
	case score < 0:
		return intentComplaint
	case contains(" thanks thank ", words[0]):
		return intentThanks
	case contains(greetings, words[0]):
		return intentGreeting
	}
	return intentStatement
}

func contains(lexicon, word string) bool { return strings.Contains(lexicon, " "+word+" ") }
