from homepot_agent.command_line import main

raise SystemExit(main())
