@echo off
rem Set Limner up and start it. All the work is in packaging\bootstrap.py.
rem   start.bat         open the window
rem   start.bat demo    train the demo LoRA in the terminal
rem   start.bat test    format, lint, types, tests
rem   start.bat ...     anything else goes to the command line program
rem LIMNER_PYTHON names the Python (3.11 to 3.13) to set up with, LIMNER_TORCH_INDEX another wheel
rem index for torch ("plain" for none) than the one chosen from the graphics card.
setlocal
set "PYTHONUTF8=1"
set "check=import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))"

rem Set up already: its own Python starts fastest. An unfinished set-up is for the base Python, as
rem the environment cannot be replaced while its own Python runs.
if not exist "%~dp0.venv\limner-setup.json" goto search
if not exist "%~dp0.venv\Scripts\python.exe" goto search
find "unfinished" "%~dp0.venv\limner-setup.json" >nul
if not errorlevel 1 goto search
"%~dp0.venv\Scripts\python.exe" "%~dp0packaging\bootstrap.py" %*
set "code=%errorlevel%"
rem 100 to 112: Python's launcher cannot find the Python that the environment was made from.
if %code% geq 100 if %code% leq 112 goto search
goto done

:search
if not defined LIMNER_PYTHON goto launcher
"%LIMNER_PYTHON%" "%~dp0packaging\bootstrap.py" %*
set "code=%errorlevel%"
if not %code%==9009 goto done
echo LIMNER_PYTHON names %LIMNER_PYTHON%, which is not there; please correct it and start again. 1>&2
goto done

:launcher
set "version=3.13"
py -%version% -c "%check%" >nul 2>nul
if not errorlevel 1 goto found
set "version=3.12"
py -%version% -c "%check%" >nul 2>nul
if not errorlevel 1 goto found
set "version=3.11"
py -%version% -c "%check%" >nul 2>nul
if not errorlevel 1 goto found
python -c "%check%" >nul 2>nul
if not errorlevel 1 goto plain
echo Limner needs Python 3.11, 3.12 or 3.13; please install one of them from python.org and start again. 1>&2
set "code=2"
goto done

:found
py -%version% "%~dp0packaging\bootstrap.py" %*
set "code=%errorlevel%"
goto done

:plain
python "%~dp0packaging\bootstrap.py" %*
set "code=%errorlevel%"

:done
if %code%==0 exit /b 0
rem Double-clicked, the console would close before anybody has read why.
if not "%~1"=="" exit /b %code%
if defined LIMNER_NO_PAUSE exit /b %code%
set "line=%cmdcmdline:"=%"
echo "%line%" | find /i " /c " >nul
if not errorlevel 1 pause
exit /b %code%
