package integration

import (
	"testing"

	"github.com/genaistore/genaistore/internal/integration/servers"
)

func TestMain(m *testing.M) { servers.Main(m) }
