package dynamomemory_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/genaistore/genaistore/memory/dynamomemory/costtest"
)

func TestCosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		costtest.Run(t, open(t, newFake(t), nil), time.Sleep)
	})
}
