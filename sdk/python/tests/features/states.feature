Feature: The provider's states

  Scenario Outline: Each is told
    Given a <name> provider
    Then the provider status should be "<status>"

    Examples:
      | name      | status    |
      | stable    | READY     |
      | not ready | NOT_READY |
      | error     | ERROR     |
      | fatal     | FATAL     |
      | stale     | STALE     |

  Scenario Outline: Nothing is asked of a provider that cannot answer
    Given a <name> provider
    And a <type>-flag with key "<type>-flag" and a default value "<default>"
    When the flag was evaluated with details
    Then the resolved details value should be "<default>"
    And the reason should be "ERROR"
    And the error-code should be "<code>"

    Examples:
      | name      | type    | default  | code               |
      | not ready | boolean | false    | PROVIDER_NOT_READY |
      | not ready | object  | {"a": 1} | PROVIDER_NOT_READY |
      | fatal     | string  | bye      | PROVIDER_FATAL     |
      | fatal     | integer | 1        | PROVIDER_FATAL     |
      | fatal     | float   | 0.1      | PROVIDER_FATAL     |
