"""One small runner for each orchestrator."""
